"""Crops around centres: the right voxels under the right points, and the same filling for both classes."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipeline.phantoms.cohort import nrrd_bytes
from transforms import InputError, LoadCenterCrops
from transforms.breast_ultrasound.volume import read_volume

AFFINE = np.array([[-0.5, 0, 0, 40.0], [0, -0.1, 0, 90.0], [0, 0, 1.5, -20.0], [0, 0, 0, 1]])


@pytest.fixture
def volume(tmp_path):
    """60 × 50 × 30 voxels (lateral, depth, sweep), dark but for one bright voxel at (42, 17, 21)."""
    array = np.random.default_rng(0).integers(1, 20, (60, 50, 30)).astype(np.uint8)
    array[42, 17, 21] = 255
    path = tmp_path / "volume.nrrd"
    path.write_bytes(nrrd_bytes(np.asfortranarray(array), AFFINE))
    return path, array, (AFFINE @ [42, 17, 21, 1])[:3]


def load(path, lesions=(), is_healthy=False, **options):
    return LoadCenterCrops(**options)({"image": path, "lesions": lesions, "healthy": is_healthy, "exam_id": "E1"})


def test_the_marked_voxel_is_the_crops_middle(volume):
    path, array, center = volume
    crop = load(path, [("1", center)], shape=(9, 11, 13))["crops"]["lesion1"]
    assert crop.shape == (1, 9, 11, 13) and float(crop[0, 4, 5, 6]) == 1.0
    wanted = array[36:49, 12:23, 17:26].transpose(2, 1, 0) / 255  # (sweep, depth, lateral)
    np.testing.assert_allclose(crop[0], wanted, atol=1e-3)


def test_a_crop_over_the_border_is_filled_and_noted(volume):
    path, array, _ = volume
    near = (AFFINE @ [1, 48, 29, 1])[:3]
    found = load(path, [("a", near)], shape=(9, 11, 13))
    crop = found["crops"]["lesiona"]
    assert found["padded"] == ["lesiona"]
    np.testing.assert_allclose(crop[0, :5, :7, 5:], array[:8, 43:50, 25:30].transpose(2, 1, 0) / 255, atol=1e-3)
    assert not crop[0, 5:].any() and not crop[0, :, 7:].any() and not crop[0, :, :, :5].any()


def test_other_axes_in_the_file_give_the_same_crop(volume, tmp_path):
    path, array, center = volume
    turned = tmp_path / "turned.nii.gz"
    nib.save(nib.Nifti1Image(array.transpose(2, 0, 1).copy(), AFFINE[:, [2, 0, 1, 3]]), turned)
    same = load(path, [("1", center)], shape=(9, 11, 13))["crops"]["lesion1"]
    other = load(turned, [("1", center)], shape=(9, 11, 13), axes=("sweep", "lateral", "depth"))["crops"]["lesion1"]
    np.testing.assert_allclose(other, same, atol=1e-3)


def test_resampled_crops_keep_their_middle_and_reach(volume):
    path, _, center = volume
    crop = load(path, [("1", center)], shape=(5, 21, 11), spacing=(1.5, 0.05, 0.5))["crops"]["lesion1"]
    z, y, x = np.unravel_index(int(crop.argmax()), crop.shape[1:])
    assert (z, x) == (2, 5) and abs(y - 10) <= 1  # twice as fine in depth: the voxel's middle falls between two


def test_healthy_crops_keep_away_and_repeat(volume):
    path, _, center = volume
    options = {"shape": (5, 9, 9), "healthy": 30, "far_mm": 12.0}
    found = load(path, [("1", center)], **options)
    healthy = {name: crop for name, crop in found["crops"].items() if name.startswith("healthy")}
    assert len(healthy) == 30 and all(float(crop.max()) < 0.5 for crop in healthy.values()), "none holds the lesion"
    again = load(path, [("1", center)], **options)["crops"]
    assert all(np.array_equal(crop, again[name]) for name, crop in healthy.items())
    assert set(load(path, [("1", center)], shape=(5, 9, 9))["crops"]) == {"lesion1"}, "as the paper: no healthy ones"


def test_half_of_the_healthy_crops_lie_where_lesions_of_the_same_fold_do(volume):
    path, _, _ = volume
    cut = LoadCenterCrops((5, 9, 9), healthy=40, places={"0": [(0.7, 0.35, 0.7)], "1": [(0.3, 0.6, 0.3)]})
    grid = read_volume(path)[1]
    wanted = {"healthy": True, "exam_id": "E", "image": path}
    seen = []
    for fold, place in (("0", (0.7, 0.35, 0.7)), ("1", (0.3, 0.6, 0.3)), ("2", None)):
        starts = {}
        cut._cut = lambda volume, grid, wanted, start, starts=starts: starts.setdefault(len(starts), start)
        cut({**wanted, "fold": fold})
        middles = np.array(list(starts.values())) + np.array([4, 4, 2])
        near = [(np.abs((middles + 0.5) / grid.shape - at) < 0.1).all(axis=1).sum() for at in
                ((0.7, 0.35, 0.7), (0.3, 0.6, 0.3))]
        assert len(starts) == 40 and (place is None or near.pop(int(fold)) in range(18, 25))
        seen += near
    assert max(seen) <= 4, "of another fold, or of none, only as many as chance puts there"


@pytest.mark.parametrize(("change", "words"), [
    ({"lesions": [("1", (0, 0, 0))]}, "outside the volume"),
    ({"shape": (90, 9, 9), "is_healthy": True}, "less than half a crop"),
    ({"axes": ("lateral", "sweep", "sweep")}, "axes"),
    ({"shape": (0, 9, 9)}, "shape"),
])
def test_what_cannot_be_cut_is_refused(volume, change, words):
    path, _, _ = volume
    with pytest.raises(InputError, match=words) as error:
        load(path, **change)
    assert "\n" not in str(error.value)
