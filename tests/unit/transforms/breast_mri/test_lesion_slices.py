"""Patches around lesions: from masks drawn by hand, from centres, at borders; and how they reach the network."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from transforms import InputError, LoadLesionSlices
from transforms.breast_mri.lesion_slices import CONTRASTS
from transforms.grid import Grid

AFFINE = np.array([[-2.0, 0, 0, 39], [0, -2.0, 0, 31], [0, 0, 5.0, -20], [0, 0, 0, 1]])  # 40 × 32 × 9 voxels


PLAIN = {"size": 8, "iterations": []}  # no bias correction: values can be followed by hand


def world(*voxel: float) -> tuple[float, ...]:
    return tuple((AFFINE @ [*voxel, 1])[:3])


def file_corner(place: Grid) -> tuple[int, ...]:
    """The least voxel of a patch, counted as the file does; patches run towards R and A, the file against both."""
    corners = place.to_world(np.array([[0, 0, 0], np.asarray(place.shape) - 1]))
    index = np.linalg.inv(AFFINE)[:3] @ np.c_[corners, [1, 1]].T
    return tuple(np.rint(index.min(axis=1)).astype(int).tolist())


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
    # Lesion 1, slice 3: centre of mass (11, 15); towards R and A it is (28, 16), first voxel 28 - 3.5, 16 - 3.5,
    # rounded to even: 24, 12, which are the file's 8 … 15, 12 … 19. On slice 4 lesion 2 lies in its patch, and it in
    # lesion 2's.
    corners = {name: [file_corner(place) for place in places] for name, places in found["places"].items()}
    assert corners == {"1": [(8, 12, 3)], "3": [(35, 27, 7)]}
    assert (found["left_out"], found["padded"], found["missing"]) == (2, 1, [])
    assert found["patches"]["1"].shape == (1, 7, 8, 8)
    corner = found["patches"]["3"][0, 0]
    assert (corner[3:, 3:] > 0).all() and corner[:3].abs().max() == 0 and corner[:, :3].abs().max() == 0
    pre = np.asarray(nib.load(exam["pre"]).dataobj)
    patch = found["patches"]["1"][0, 0].numpy()
    inside = pre[8:16, 12:20, 3].T[::-1, ::-1]
    np.testing.assert_allclose(patch / patch.mean(), inside / inside.mean(), rtol=1e-5)


def test_patches_from_centres_cover_the_stated_extent(exam) -> None:
    # 10 mm above and below are two slices of 5 mm.
    found = LoadLesionSlices(**PLAIN, extent=10.0)(exam, [("a", world(20, 16, 4)), ("b", world(5, 25, 0))]).meta
    assert [file_corner(place)[2] for place in found["places"]["a"]] == [2, 3, 4, 5, 6]
    assert [file_corner(place)[2] for place in found["places"]["b"]] == [0, 1, 2]
    single = LoadLesionSlices(**PLAIN, extent=0.0)(exam, [("a", world(20, 16, 4.3))]).meta
    # (19, 15) towards R and A: first voxel 15.5 and 11.5, to even 16 and 12, the file's 16 … 23 and 12 … 19.
    assert [file_corner(place) for place in single["places"]["a"]] == [(16, 12, 4)]


@pytest.mark.parametrize(("direction", "sign"), [("post1-pre", 1), ("pre-post1", -1)])
def test_channels_subtraction_and_t2(exam, direction, sign) -> None:
    load = LoadLesionSlices(["t2", "pre", "post1", "sub"], **PLAIN, subtraction=direction, shared="pre")
    image = load(exam, [("1", world(11, 15, 4))])
    t2, pre, post1, sub = image.as_tensor()
    assert image.shape == (4, 40, 32, 9)
    torch.testing.assert_close(sub, sign * (post1 - pre))
    tissue = pre[:, :-6]  # y runs to A, the file to P
    assert float(tissue.mean()) == pytest.approx(1, abs=0.02)
    assert float((post1[:, :-6] / tissue).mean()) == pytest.approx(2, abs=0.02)  # 200 to 100, by one scale
    # T2 came onto the phases' grid, whose slices 0, 2, … are its own.
    assert t2.shape == (40, 32, 9) and float(t2[34, 10, 4] / t2[9, 10, 4]) == pytest.approx(3)


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
