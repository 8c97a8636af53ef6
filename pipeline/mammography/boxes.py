"""Boxes of findings on mammograms: a table beside the images, told and drawn; no training depends on them."""

from __future__ import annotations

import csv
from pathlib import Path

from pipeline.datalist import load
from pipeline.errors import InputError

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
    if path is None:
        return found
    name = Path(path).name
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                top, left, bottom, right, malignant = (int(row[column]) for column in _BOX)
                found.setdefault((row["exam_id"], row["view"]), []).append((top, left, bottom, right, malignant))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{name}: no such table of boxes; set boxes to null, or name the table") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{name}: takes exam_id, view, {', '.join(_BOX)}, whole numbers; correct it") from None
    return found


def boxes_beside(path: Path | str) -> Path | None:
    """`boxes.csv` in the folder of a datalist's images, where there is one.

    Raises:
        InputError: the list cannot be read.
    """
    table = load(path).root / "boxes.csv"
    return table if table.is_file() else None
