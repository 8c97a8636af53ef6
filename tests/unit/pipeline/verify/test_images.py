"""What verification says of images, with the numbers in its reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.datalist import Datalist, Exam, Finding, Lesion
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


def test_a_lesion_whose_place_is_known_in_part_is_held_against_no_image(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    lesion = datalist.exams[0].lesions[0]
    datalist.exams[0].lesions.append(Lesion(lesion.side, (None, None, 9999.0), 1, "b"))
    assert verify(datalist, quick=True) == []


@pytest.mark.parametrize(("finding", "code"), [
    (Finding("L-CC", (10, 0, 20, 12), 1), None),
    (Finding("L-CC", (10, 0, 20, 41), 1), "box_outside"),  # 60 rows, 40 columns
    (Finding("L-CC", (20, 3, 20, 12), 1), "box_outside"),
    (Finding("L-MLO", (10, 0, 20, 12), 1), "box_without_view"),
    (Finding("R-CC", (10, 30, 20, 40), 1), "box_label_contradicts"),
    (Finding("R-CC", (10, 30, 20, 40), None), None),
])
def test_boxes_of_findings(tmp_path: Path, make_mammogram: Any, finding: Finding, code: str | None) -> None:
    for side in "LR":
        make_mammogram(tmp_path / f"{side}.dcm", side)
    exam = Exam("E", "P", {"L-CC": "L.dcm", "R-CC": "R.dcm"}, {"L": {"malignant": 1}, "R": {"malignant": 0}}, fold=0,
                findings=[finding])
    found = {issue.code for issue in verify(Datalist("x", "MG", tmp_path, [exam])) if issue.severity == "error"}
    assert found - {"fold_missing"} == ({code} if code else set())


def test_a_series_with_a_slice_missing(tmp_path: Path, make_series: Any) -> None:
    make_series(tmp_path / "pre", np.arange(4 * 4 * 5, dtype=np.int16).reshape(4, 4, 5), np.diag([-1.0, -1, 2, 1]))
    (tmp_path / "pre" / "1-003.dcm").unlink()
    exam = Exam("E", "P", {"pre": "pre"}, {"L": {"malignant": 1}}, fold=0)
    found = [issue for issue in verify(Datalist("x", "MR", tmp_path, [exam])) if issue.code == "series"]
    assert [issue.reason for issue in found] == [
        "DICOM: slices are missing or misplaced: 1 of 3 distances are not 2 mm"]
