"""Boxes of findings from a table beside the images."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.mammography.boxes import boxes_beside, read_boxes

COLUMNS = "exam_id,view,row_min,col_min,row_max,col_max,malignant\n"


def test_boxes_by_exam_and_view(tmp_path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(COLUMNS + "E1,L-CC,1,2,3,4,1\nE1,L-CC,5,6,7,8,0\nE1,L-MLO,9,10,11,12,1\n")
    assert read_boxes(path) == {("E1", "L-CC"): [(1, 2, 3, 4, 1), (5, 6, 7, 8, 0)],
                                ("E1", "L-MLO"): [(9, 10, 11, 12, 1)]}
    assert read_boxes(None) == {}


@pytest.mark.parametrize("text", [None, "exam_id,view\nE1,L-CC\n", COLUMNS + "E1,L-CC,1,2,3,4.5,1\n",
                                  COLUMNS + "E1,L-CC,1,2,3,4,\n"])
def test_tables_that_are_none(tmp_path, text) -> None:
    if text:
        (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(InputError, match=r"boxes\.csv") as error:
        read_boxes(tmp_path / "boxes.csv")
    assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)


def test_the_table_lies_beside_the_images(mammography_cohort, tiny_cohort) -> None:
    table = boxes_beside(mammography_cohort.list)
    assert table == mammography_cohort.folder / "boxes.csv" and read_boxes(table)
    assert boxes_beside(tiny_cohort.list) is None
