"""What verification says of images, with the numbers in its reasons."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.datalist import Lesion
from pipeline.verify import verify


def test_reasons_carry_the_numbers(tiny_cohort) -> None:
    def three_nan(array, affine):
        array = array.astype(np.float32)
        array[1, 2, 3:6] = np.nan
        return array

    def shift(array, affine):
        affine[:3, 3] += (3.0, 4.0, 0.0)

    tiny_cohort.rewrite(0, "t2", three_nan)
    tiny_cohort.rewrite(1, "post1", shift)
    tiny_cohort.rewrite(2, "post1", lambda array, affine: array[:, :, :6])
    tiny_cohort.rewrite(3, "t2", lambda array, affine: array * 0 + 7)
    datalist = tiny_cohort.load()
    # The image ends 5 mm beyond its last voxel's centre at z = 35, that is at z = 40.
    datalist.exams[4].lesions = [Lesion(datalist.exams[4].lesions[0].side, (-60.0, 20.0, 52.0), 1, "a")]
    assert [it.reason for it in verify(datalist)] == [
        "3 voxels are NaN or infinite",
        "grid differs from that of pre by up to 5 mm",
        "shape 64 x 64 x 6, but pre has 64 x 64 x 8",
        "every voxel is 7",
        "lesion a: centre lies 12 mm outside the image",
    ]


@pytest.mark.parametrize(("shift", "found"), [(0.005, False), (0.02, True)])
def test_grids_may_differ_by_a_hundredth_of_a_millimetre(tiny_cohort, shift: float, found: bool) -> None:
    tiny_cohort.rewrite(0, "post1", lambda array, affine: affine.__setitem__((0, 3), affine[0, 3] + shift))
    assert [it.code for it in verify(tiny_cohort.load(), quick=True)] == ["affine_mismatch"] * found


def test_t2_may_have_its_own_grid(tiny_cohort) -> None:
    tiny_cohort.rewrite(0, "t2", lambda array, affine: array[::2])
    assert verify(tiny_cohort.load()) == []


def test_phases_in_one_file_may_be_four_dimensional(make_cohort, tmp_path) -> None:
    cohort = make_cohort(tmp_path, contrasts=("image",))
    cohort.rewrite(0, "image", lambda array, affine: np.stack([array, array + 1], -1))
    assert verify(cohort.load()) == []


def test_mammograms_are_pictures_and_have_no_millimetres(make_cohort, tmp_path) -> None:
    cohort = make_cohort(tmp_path, contrasts=("L_CC",))
    datalist = cohort.load()
    datalist.modality = "MG"
    assert {it.code for it in verify(datalist, quick=True)} == {"not_3d"}
    for i in range(len(datalist.exams)):
        cohort.rewrite(i, "L_CC", lambda array, affine: array[:, :, 0])
    assert verify(datalist) == []
