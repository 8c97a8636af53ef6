"""Boxes of findings on mammograms: a table beside the images, told and drawn; no training depends on them."""

from __future__ import annotations

from pathlib import Path

from pipeline.datalist import load
from pipeline.files.tables import read_table

Boxes = dict[tuple[str, str], list[tuple[int, int, int, int, int]]]
_BOX = ("row_min", "col_min", "row_max", "col_max", "malignant")


def read_boxes(path: Path | str | None) -> Boxes:
    """Boxes of findings: exam and view to `(top, left, bottom, right, malignant)` in pixels of the image as stored.

    Args:
        path: table with `exam_id`, `view`, `row_min`, `col_min`, `row_max`, `col_max` (the ends not included),
            `malignant`; None: there is none.

    Raises:
        InputError: not such a table.
    """
    found: Boxes = {}
    for row in read_table(path, ["exam_id", "view", *_BOX]) if path is not None else ():
        values = [row.required_number(column) for column in _BOX]
        if any(value != int(value) for value in values):
            raise row.error(f"{', '.join(_BOX)} are whole numbers; correct it")
        top, left, bottom, right, malignant = map(int, values)
        found.setdefault((row.required("exam_id"), row.required("view")), []).append(
            (top, left, bottom, right, malignant))
    return found


def boxes_beside(path: Path | str) -> Path | None:
    """`boxes.csv` in the folder of a datalist's images, where there is one.

    Raises:
        InputError: the list cannot be read.
    """
    table = load(path).root / "boxes.csv"
    return table if table.is_file() else None
