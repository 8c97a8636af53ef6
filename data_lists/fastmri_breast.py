"""fastMRI Breast (NYU): 300 examinations at 3 T, four time frames each, one label an examination.

```
ROOT/…/breast_fastMRI_final.xlsx (or fastMRI_breast_labels.xlsx)
ROOT/…/fastMRI_breast_001/…            DICOM of the time frames, in folders of any depth; or pre.nii.gz, post1.nii.gz …
```

* Lesion status 0: negative, 1: malignant, 2: benign; ODELIA uses 1 and 2 the other way round. The laterality (1 right,
  2 left, or the word bilateral) is of the malignant lesion: that breast is malignant, the other is not (`--other-breast
  unknown`). Where a benign lesion lies is not said: `benign` is unknown, `malignant` 0.
* Equal numbers in `Repeated scans` are one woman's. 10 of the 16 pairs are on both sides of the official split:
  `--clean` puts both into the test part.
* Why a scan was made nearly gives the label away: 85 of the 90 malignant examinations are cancer workups. It is the
  group `reason`; a report's rows by it say more than the total.
* Columns are known by the text before their first bracket. Frames are told apart by their headers' times; nothing is
  known of the k-space files.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter

from tqdm import tqdm

from data_lists import splits
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, InputError
from pipeline.files.tables import Row, read_table
from transforms.breast_mri.dicom_exam import find_dicom

_FRAMES = ("pre", "post1", "post2", "post3")
_COLUMNS = ("patient coded name", "repeated scans", "data split", "reason", "lesion status", "laterality")
_EXAM = re.compile(r"fastMRI_breast_\d{3}", re.IGNORECASE)
_SIDES: dict[str, tuple[str, ...]] = {"1": ("R",), "2": ("L",), "bilateral": ("L", "R"), "": ()}
_REASONS = {"0": "screening", "1": "follow-up", "2": "workup", "3": "problem-solving", "4": "therapy", "": ""}
_STATUS = {"0": 0, "1": 1, "2": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the label table and a folder an examination")
    splits.add_arguments(parser)
    parser.add_argument("--other-breast", choices=("negative", "unknown"), default="negative",
                        help="label of the breast without the malignant lesion")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table, and find each examination's time frames.

    Raises:
        InputError: no table, too few examinations, or frames whose order cannot be told.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("fastmri-breast", "breast_fastMRI_final.xlsx", "fastMRI_breast_labels.xlsx",
                      "*fastMRI*breast*.csv", "breast_fastMRI*.csv")

    def canonical(title: str) -> str:
        name = title.split("(")[0].strip().lower()
        return name if name in _COLUMNS else ""

    folders = _folders(tree)
    exams: dict[str, Exam] = {}
    tested: set[str] = set()
    for row in tqdm(read_table(path, _COLUMNS, canonical), unit="exam", desc="fastmri-breast", disable=None):
        exam = _exam(row, args)
        if exam.exam_id in exams:
            raise row.error(f"{exam.exam_id} is there a second time; correct the table")
        if matched.add(folders.get(exam.exam_id.lower()), exam.exam_id) is None:
            continue
        exam.images = _images(tree, exam.exam_id, folders[exam.exam_id.lower()])
        exams[exam.exam_id] = exam
        if row.choice("data split", {"0": False, "1": True}):
            tested.add(exam.exam_id)
    matched.check(args.least, left_out)
    folds, text = splits.official_test(list(exams.values()), lambda exam: exam.exam_id in tested, args)
    return Datalist(args.name, "MR", tree.root, list(exams.values()), folds,
                    source={"left_out": told(left_out), "split": text})


def _folders(tree: Tree) -> dict[str, str]:
    """Examination to the topmost folder of its name (`fastMRI_breast_001`, or with an ending) that holds images."""
    found: dict[str, str] = {}
    for folder in sorted(tree.folders):
        parts = folder.split("/")
        for k, part in enumerate(parts):
            name = _EXAM.match(part)
            if name and (tree.folders[folder] or k < len(parts) - 1):
                found.setdefault(name[0].lower(), "/".join(parts[: k + 1]))
    return found


def _exam(row: Row, args: argparse.Namespace) -> Exam:
    name = row.required("patient coded name")
    if not _EXAM.fullmatch(name):
        raise row.error("`Patient Coded Name` is not like fastMRI_breast_001; the table is of another release, or "
                        "columns have slipped")
    status, sides = row.choice("lesion status", _STATUS), row.choice("laterality", _SIDES)
    repeat = int(row.required_number("repeated scans"))
    reason = row.choice("reason", _REASONS)
    exam = Exam(name, f"fastMRI_repeated_{repeat:02d}" if repeat else name, {}, {},
                groups={"reason": reason} if reason else {})
    for side in "LR":
        breast: dict[str, int | None] = {"malignant": 0, "benign": 0 if status == 0 else None}
        if status == 1:
            other = 0 if args.other_breast == "negative" else None
            breast["malignant"] = 1 if side in sides else other if sides else None
        elif status == 2 and side in sides:
            breast["benign"] = 1
        exam.breasts[side] = breast
    return exam


def _images(tree: Tree, exam: str, folder: str) -> dict[str, str]:
    """The time frames, as NIfTI named after them or as DICOM."""
    named = {name.split(".")[0].lower(): f"{folder}/{name}" for name in tree.folders.get(folder, ())
             if name.lower().endswith((".nii", ".nii.gz"))}
    if named:
        return {frame: named[frame] for frame in _FRAMES if frame in named}
    try:
        found = find_dicom(tree.root / folder, _FRAMES)
    except InputError as error:
        raise InputError(f"{exam}: {str(error).split(': ', 1)[-1]}", code=error.code) from None
    return {frame: path.relative_to(tree.root).as_posix() for frame, path in found.items()}
