"""CSAW-CC, screening mammograms of Karolinska: one table with a row an image, and DICOM files in batch folders.

* An exam is a patient's images of one `exam_year`. Of repeated views the file with the lowest number is kept.
* A breast is malignant where `rad_timing` says that the cancer was found by this exam (1, group `screen`) or in the
  two years after it (2, `interval`), and `imagelaterality` is `x_cancer_laterality`. `x_case` alone says nothing about
  an exam: it marks all of a patient's exams, and both breasts.
* Exams two years or more before the diagnosis (3, `prior`) are left out unless `--priors` gives them a label.
* The other breast of a patient with cancer is 0, or unknown with `--other-breast unknown`.
* Nothing is said about benign lesions: `benign` is unknown. The radiologists' flags `rad_r1` and `rad_r2` are readers'
  scores of the exam.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from pathlib import Path

from data_lists.files import LEAST, Matched, Tree, told
from pipeline.datalist import Datalist, Exam
from pipeline.files.tables import Row, read_table
from pipeline.names import RULE, is_name

_COLUMNS = ("anon_patientid", "exam_year", "x_case", "x_cancer_laterality", "rad_timing", "rad_r1", "rad_r2",
            "imagelaterality", "viewposition", "anon_filename")
_OF_EXAM = ("x_case", "x_cancer_laterality", "rad_timing", "rad_r1", "rad_r2")  # equal in all rows of an exam
_READERS = ("rad_r1", "rad_r2")
_SIDES = {"left": "L", "l": "L", "right": "R", "r": "R"}
_VIEWS = ("CC", "MLO")
_DETECTION = {1: "screen", 2: "interval", 3: "prior"}  # by rad_timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    parser.add_argument("table", metavar="TABLE.csv", help="CSAW-CC_breast_cancer_screening_data.csv")
    parser.add_argument("--images", required=True, metavar="DIR", default=argparse.SUPPRESS,
                        help="folder with the DICOM files, in folders of any depth")
    parser.add_argument("--priors", choices=("drop", "negative", "positive"), default="drop",
                        help="exams two years or more before the diagnosis: leave out, or the label of that breast")
    parser.add_argument("--other-breast", choices=("negative", "unknown"), default="negative",
                        help="label of the breast without cancer of a patient with cancer")
    parser.add_argument("--skip-missing", action="store_true", help="leave out images whose files are not there")
    parser.add_argument("--least", type=float, default=LEAST, metavar="SHARE",
                        help="share of the listed images that must be there")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table and find its files; what was left out is counted on standard error.

    Raises:
        InputError: the table cannot be read, rows contradict each other, or files are missing.
    """
    tree = Tree(args.images, "--images ")
    rows = read_table(args.table, _COLUMNS, str.lower, "")  # the table has columns besides
    exams: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        exams.setdefault((row.required("anon_patientid"), row.required("exam_year")), []).append(row)
    left_out: Counter[str] = Counter()
    matched = Matched()
    kept = [exam for own in exams.values() if (exam := _exam(own, tree, matched, args, left_out))]
    matched.check(0.0 if args.skip_missing else args.least, left_out, ", or leave them out with --skip-missing")
    return Datalist(args.name, "MG", tree.root, kept, source={"left_out": told(left_out)})


def _exam(rows: list[Row], tree: Tree, matched: Matched, args: argparse.Namespace, left_out: Counter[str]
          ) -> Exam | None:
    """One exam of its images' rows; None where it is left out."""
    first = rows[0]
    for row in rows[1:]:
        if differing := [column for column in _OF_EXAM if row.text(column) != first.text(column)]:
            raise row.error(f"`{differing[0]}` differs between the images of one exam; correct the table")
    exam_id = f"{first.text('anon_patientid')}_{first.text('exam_year')}"
    if not is_name(exam_id):
        raise first.error(f"`anon_patientid` and `exam_year` may hold {RULE}; correct the table")
    detection = _detection(first)
    if detection == "prior" and args.priors == "drop":
        left_out["exams two years or more before the diagnosis"] += 1
        return None
    ill = None
    if detection != "negative":
        ill = _SIDES.get(first.text("x_cancer_laterality").lower())
        if detection == "unknown" or ill is None:
            left_out["exams of cancers without timing or side"] += 1
            return None
    exam = Exam(exam_id, first.text("anon_patientid"), _images(rows, tree, matched, left_out), {})
    for side in sorted({view[0] for view in exam.images}):
        malignant: int | None = 0
        if side == ill:
            malignant = int(detection != "prior" or args.priors == "positive")
        elif ill and args.other_breast == "unknown":
            malignant = None
        exam.breasts[side] = {"malignant": malignant, "benign": None}
    for reader in _READERS:
        if (flag := first.label(reader)) is not None:
            exam.readers[reader] = {"exam": float(flag)}
    exam.groups["detection"] = detection
    return exam if exam.images else None


def _detection(row: Row) -> str:
    """`negative` for patients without cancer, else by `rad_timing`; `unknown` where that is empty."""
    case, timing = row.label("x_case"), row.number_in("rad_timing")
    if case is None:
        raise row.error("`x_case` is empty; fill it in")
    if timing is not None and timing not in _DETECTION:
        raise row.error("`rad_timing` is none of 1, 2, 3; correct it")
    if not case and timing is not None:
        raise row.error("`rad_timing` is given for a patient without cancer (`x_case` 0); correct one of them")
    return "negative" if not case else _DETECTION.get(int(timing or 0), "unknown")


def _images(rows: list[Row], tree: Tree, matched: Matched, left_out: Counter[str]) -> dict[str, str]:
    """View to path; of repeated views the one with the lowest number that is there."""
    images: dict[str, str] = {}
    for row in sorted(rows, key=_number):
        side, view = _SIDES.get(row.text("imagelaterality").lower()), row.text("viewposition").upper()
        if side is None or view not in _VIEWS:
            raise row.error("`imagelaterality` or `viewposition` is none of Left, Right, CC, MLO; correct the table")
        name = f"{side}-{view}"
        file = row.text("anon_filename")
        path = matched.add(tree.named(file), Path(file).name)
        if path is not None and name in images:
            left_out["repeated views"] += 1
        elif path is not None:
            images[name] = path
    return {name: images[name] for name in sorted(images)}


def _number(row: Row) -> int:
    """The number at the end of a file's name."""
    found = re.search(r"_(\d+)\.\w+$", row.text("anon_filename"))
    return int(found[1]) if found else 0
