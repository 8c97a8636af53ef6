"""Lesions' numbers on the breasts' grids: where they arrive, that none is lost, and what is no mask."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from transforms.breast_mri.lesion_masks import lesion_masks
from transforms.errors import InputError
from transforms.grid import Grid

EXAM = Grid((20, 16, 12), np.array([[-2.0, 0, 0, 19], [0, 2, 0, -15], [0, 0, 5, -27], [0, 0, 0, 1.0]]))


def write(path: Path, array: np.ndarray, affine: np.ndarray = EXAM.affine) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def test_numbers_arrive_where_the_lesions_are(tmp_path) -> None:
    array = np.zeros(EXAM.shape, np.uint8)
    array[4:8, 6:9, 5:7] = 3
    target = EXAM.canonical().resized((20, 16, 24))  # x to the right now, slices half as thick
    (mask,), digest = lesion_masks(write(tmp_path / "m.nii.gz", array), EXAM, [target])
    assert mask.shape == (24, 16, 20) and mask.dtype == np.uint8 and len(digest) == 64
    z, y, x = np.nonzero(mask == 3)
    # x is mirrored: 4 … 7 of 20 becomes 12 … 15; each slice is two: 5, 6 become 10 … 13.
    assert (x.min(), x.max(), y.min(), y.max(), z.min(), z.max()) == (12, 15, 6, 8, 10, 13)
    assert (mask == 3).sum() == 4 * 3 * 4 and set(np.unique(mask)) == {0, 3}


def test_a_lesion_of_one_voxel_is_not_lost_between_coarser_ones(tmp_path) -> None:
    for place in [(5, 7, 4), (6, 8, 5), (7, 7, 7)]:
        array = np.zeros(EXAM.shape, np.uint8)
        array[place] = 9
        coarse = EXAM.resized((5, 4, 3))  # every fourth voxel is looked at
        (mask,), _ = lesion_masks(write(tmp_path / "m.nii.gz", array), EXAM, [coarse])
        ((z, y, x),) = np.argwhere(mask == 9)
        assert (x, y, z) == tuple(n // 4 for n in place)


def test_what_lies_outside_a_breast_is_not_drawn_into_it(tmp_path) -> None:
    array = np.zeros(EXAM.shape, np.uint8)
    array[2, 3, 4] = 1
    away, here = EXAM.cropped((10, 0, 0), (10, 16, 12)), EXAM.cropped((0, 0, 0), (10, 16, 12))
    masks, _ = lesion_masks(write(tmp_path / "m.nii.gz", array), EXAM, [away, here])
    assert not masks[0].any() and masks[1][4, 3, 2] == 1 and masks[1].sum() == 1


@pytest.mark.parametrize("array, affine, said", [
    (np.zeros((20, 16, 11), np.uint8), EXAM.affine, "its grid differs from the first phase's"),
    (np.zeros(EXAM.shape, np.uint8), EXAM.affine @ np.diag([1, 1, 1.2, 1]), "its grid differs"),
    (np.full(EXAM.shape, 0.5, np.float32), EXAM.affine, "holds whole numbers from 0 to 255"),
    (np.full(EXAM.shape, 256, np.int16), EXAM.affine, "holds whole numbers"),
    (np.full(EXAM.shape, -1, np.int16), EXAM.affine, "holds whole numbers"),
])
def test_what_is_no_mask_of_the_exam(tmp_path, array, affine, said) -> None:
    with pytest.raises(InputError, match=rf"m\.nii\.gz: .*{said}"):
        lesion_masks(write(tmp_path / "m.nii.gz", array, affine), EXAM, [EXAM])
