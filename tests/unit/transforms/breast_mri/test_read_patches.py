"""Patches around lesions and slices of them, cut from prepared arrays."""

from __future__ import annotations

import numpy as np
import pytest

from transforms import InputError, LoadLesionPatchd, LoadSliced
from transforms.breast_mri.lesion_slices import CONTRASTS


@pytest.fixture
def stored(tmp_path):
    """Voxel (c, x, y, z) holds c·1000 + z·100 + y·10 + x; 8×6×4 voxels, two channels."""
    c, z, y, x = np.meshgrid(range(2), range(4), range(6), range(8), indexing="ij")
    path = tmp_path / "E1_L.npy"
    np.save(path, (c * 1000 + z * 100 + y * 10 + x).astype(np.float16))
    return path


def test_patch_is_centred_and_padded_with_air(stored) -> None:
    load = LoadLesionPatchd("image", shape=(4, 4, 2), jitter=0)
    case = {"image": stored, "center": [1.5, 2.5, 0.5], "lesions": [[1.5, 2.5, 0.5, 0]]}
    patch = load(case)["image"]
    assert patch.shape == (2, 4, 4, 2)
    assert patch[0, 0, 0, 0] == 10 and patch[1, 3, 3, 1] == 1143  # x 0–3, y 1–4, z 0–1
    corner = load({**case, "center": [0, 0, 0], "lesions": [[0, 0, 0, 1]]})
    assert (corner["image"][:, 0] == 0).all() and corner["label"] == 1
    assert corner["image"][0].max() == 111  # x up to 1, y up to 1, z up to 1


def test_label_is_the_worst_lesion_inside(stored) -> None:
    load = LoadLesionPatchd("image", shape=(4, 4, 2), jitter=0)
    near, far = [2.0, 2.0, 1.0, 1], [7.0, 5.0, 3.0, 1]
    case = {"image": stored, "center": [1.0, 2.0, 1.0]}
    assert load({**case, "lesions": [[1.0, 2.0, 1.0, 0], near]})["label"] == 1
    assert load({**case, "lesions": [[1.0, 2.0, 1.0, 0], far]})["label"] == 0


def test_the_lesion_stays_in_a_jittered_patch_for_any_offset(tmp_path) -> None:
    array = np.zeros((1, 16, 32, 32), np.float16)
    array[0, 7, 12, 20] = 1
    np.save(tmp_path / "E1_L.npy", array)
    load = LoadLesionPatchd("image", shape=(8, 8, 4), jitter=0.25)
    load.set_random_state(seed=0)
    places = set()
    for _ in range(200):
        patch = load({"image": tmp_path / "E1_L.npy", "center": [20, 12, 7], "lesions": [[20, 12, 7, 1]]})["image"]
        assert patch.sum() == 1
        places.add(tuple(int(i) for i in np.argwhere(patch[0].numpy())[0]))
    spread = np.ptp(np.array(list(places)), axis=0)
    assert (spread >= [3, 3, 1]).all() and (spread <= [5, 5, 3]).all()


def test_a_subset_is_an_index(tmp_path) -> None:
    stored = np.random.default_rng(0).uniform(0, 2, (3, 7, 6, 6)).astype(np.float16)
    np.save(tmp_path / "a.npy", stored)
    load = LoadSliced("image", CONTRASTS, ["sub", "pre"])
    found = load({"image": tmp_path / "a.npy", "slice": 2})["image"]
    np.testing.assert_array_equal(found.numpy(), stored[2, [5, 0]].astype(np.float32))
    with pytest.raises(InputError, match="no contrast 'flair'"):
        LoadSliced("image", CONTRASTS, ["flair"])


def test_a_place_without_lesion_lies_in_the_tissue_and_is_healthy(tmp_path) -> None:
    array = np.zeros((1, 8, 32, 32), np.float16)
    array[0, 2:6, 4:20, 10:30] = 1  # tissue
    np.save(tmp_path / "E1_L.npy", array)
    load = LoadLesionPatchd("image", shape=(5, 5, 3), jitter=0)
    load.set_random_state(seed=0)
    patches = [load({"image": tmp_path / "E1_L.npy", "center": None, "lesions": []}) for _ in range(50)]
    assert all(patch["label"] == 0 and patch["image"][0, 2, 2, 1] == 1 for patch in patches)
    assert len({tuple(patch["image"].flatten().tolist()) for patch in patches}) > 10  # drawn anew each time
