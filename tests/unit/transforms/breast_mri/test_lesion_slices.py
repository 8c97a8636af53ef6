"""Patches around lesions: from masks drawn by hand, from centres, at borders; and how they reach the network."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from transforms import InputError, LoadLesionSlices
from transforms.breast_mri.lesion_slices import CONTRASTS

AFFINE = np.array([[-2.0, 0, 0, 39], [0, -2.0, 0, 31], [0, 0, 5.0, -20], [0, 0, 0, 1]])  # 40 × 32 × 9 voxels


PLAIN = {"size": 8, "iterations": []}  # no bias correction: values can be followed by hand


def world(*voxel: float) -> tuple[float, ...]:
    return tuple((AFFINE @ [*voxel, 1])[:3])


@pytest.fixture
def exam(tmp_path):
    """Phases that are noise around 100 times their number; T2 on a grid of its own with half the slices."""
    random = np.random.default_rng(0)
    paths = {}
    for number, name in enumerate(c for c in CONTRASTS if c not in ("sub", "t2")):
        array = (100 * (number + 1) + random.uniform(-5, 5, (40, 32, 9))).astype(np.float32)
        array[:, :4] = 1  # air
        paths[name] = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(array, AFFINE), paths[name])
    coarse = AFFINE @ np.diag([1, 1, 2, 1.0])
    array = np.full((40, 32, 5), 50, np.float32)
    array[:20] = 150
    paths["t2"] = tmp_path / "t2.nii.gz"
    nib.save(nib.Nifti1Image(array, coarse), paths["t2"])
    return paths


@pytest.fixture
def mask(tmp_path):
    """Lesion 1 on slices 3 and 4, lesion 2 near it on slice 4 alone, lesion 3 in a corner of slice 7."""
    array = np.zeros((40, 32, 9), np.uint8)
    array[10:13, 14:17, 3] = 1
    array[10:14, 14:17, 4] = 1
    array[15, 15, 4] = 2
    array[38:40, 30:32, 7] = 3
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def test_patches_from_a_mask_by_hand(exam, mask) -> None:
    lesions = [("1", world(11, 15, 3)), ("2", world(15, 15, 4)), ("3", world(38, 30, 7))]
    found = LoadLesionSlices(**PLAIN)(exam, lesions, mask).meta
    # Lesion 1, slice 3: centre of mass (11, 15), first voxel 11 - 3.5, 15 - 3.5, rounded to even: 8, 12. On slice 4
    # lesion 2 lies in its patch, and it in lesion 2's.
    assert found["places"] == {"1": [(8, 12, 3)], "3": [(35, 27, 7)]}
    assert (found["left_out"], found["padded"], found["missing"]) == (2, 1, [])
    assert found["patches"]["1"].shape == (1, 7, 8, 8)
    corner = found["patches"]["3"][0, 0]
    assert (corner[:5, :5] > 0).all() and corner[5:].abs().max() == 0 and corner[:, 5:].abs().max() == 0
    pre = np.asarray(nib.load(exam["pre"]).dataobj)
    patch = found["patches"]["1"][0, 0].numpy()
    inside = pre[8:16, 12:20, 3].T
    np.testing.assert_allclose(patch / patch.mean(), inside / inside.mean(), rtol=1e-5)


def test_patches_from_centres_cover_the_stated_extent(exam) -> None:
    # 10 mm above and below are two slices of 5 mm.
    found = LoadLesionSlices(**PLAIN, extent=10.0)(exam, [("a", world(20, 16, 4)), ("b", world(5, 25, 0))]).meta
    assert [z for *_, z in found["places"]["a"]] == [2, 3, 4, 5, 6]
    assert [z for *_, z in found["places"]["b"]] == [0, 1, 2]
    single = LoadLesionSlices(**PLAIN, extent=0.0)(exam, [("a", world(20, 16, 4.3))]).meta
    assert single["places"]["a"] == [(16, 12, 4)]


@pytest.mark.parametrize(("direction", "sign"), [("post1-pre", 1), ("pre-post1", -1)])
def test_channels_subtraction_and_t2(exam, direction, sign) -> None:
    load = LoadLesionSlices(["t2", "pre", "post1", "sub"], **PLAIN, subtraction=direction, shared="pre")
    image = load(exam, [("1", world(11, 15, 4))])
    t2, pre, post1, sub = image.as_tensor()
    assert image.shape == (4, 40, 32, 9)
    torch.testing.assert_close(sub, sign * (post1 - pre))
    tissue = pre[:, 6:]
    assert float(tissue.mean()) == pytest.approx(1, abs=0.02)
    assert float((post1[:, 6:] / tissue).mean()) == pytest.approx(2, abs=0.02)  # 200 to 100, by one scale
    # T2 came onto the phases' grid, whose slices 0, 2, … are its own.
    assert t2.shape == (40, 32, 9) and float(t2[5, 10, 4] / t2[30, 10, 4]) == pytest.approx(3)


def test_a_missing_contrast_is_named_and_others_go_on(exam) -> None:
    del exam["t2"]
    image = LoadLesionSlices(**PLAIN)(exam, [("1", world(11, 15, 4))])
    assert image.meta["missing"] == ["t2"] and image[6].abs().max() == 0 and image[5].abs().max() > 0
    del exam["pre"]
    assert LoadLesionSlices(**PLAIN)(exam, [("1", world(11, 15, 4))]).meta["missing"] == ["pre", "sub", "t2"]


def test_bad_input(exam, mask, tmp_path) -> None:
    load = LoadLesionSlices(**PLAIN)
    for lesions, drawn, message in [
        ([("4", world(11, 15, 3))], mask, "lesion 4: the mask holds no voxel"),
        ([("left", world(11, 15, 3))], mask, "ids must be the numbers"),
        ([("1", world(60, 15, 3))], None, "lesion 1: its centre lies outside"),
    ]:
        with pytest.raises(InputError, match=message):
            load(exam, lesions, drawn)
    empty = {name: tmp_path / f"zero_{name}.nii.gz" for name in exam}
    for name, path in exam.items():
        image = nib.load(path)
        array = np.asarray(image.dataobj).copy()
        array[:, :, 4 if name != "t2" else 2] = 0
        nib.save(nib.Nifti1Image(array, image.affine), empty[name])
    with pytest.raises(InputError, match="lesion 1: slice 4 is all zero"):
        LoadLesionSlices(**PLAIN, extent=0.0)(empty, [("1", world(11, 15, 4))])
    for options, message in [({"channels": ["pre", "flair"]}, "must be some of"), ({"subtraction": "a"}, "choose"),
                             ({"size": 0}, "at least 2")]:
        with pytest.raises(InputError, match=message):
            LoadLesionSlices(**{**PLAIN, **options})
