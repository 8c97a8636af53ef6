"""Your own exams, from a spreadsheet: one row an exam, and a second sheet with one row a lesion.

```
exam_id;patient_id;pre;post1;left_malignant;left_benign;right_malignant;right_benign;group_density;reader1_left
E1;P1;E1/pre.nii.gz;E1/post1.nii.gz;1;0;0;;c;5
```

exams.csv
* `exam_id`, `patient_id`, `left_malignant`, `right_malignant` must be there; `left_benign`, `right_benign`
  may. A label is 0, 1 or empty (unknown).
* Image columns: `pre`, `post1`, `post2` …, `t2`, or `image` for one file with all phases, and `lesions_mask` (0, or
  the lesion_id in each voxel, on the grid of the phases); others are named with `--images`. Their cells are paths
  relative to `--root`; an empty cell is an image the exam lacks.
* Ultrasound (`--modality US`): one row a volume, with `image` and perhaps `lesions_mask`. Volumes of one patient share
  `patient_id`; the breast that a volume does not show has 0 in `left_imaged` or `right_imaged`.
* Mammography (`--modality MG`): `L-CC`, `L-MLO`, `R-CC`, `R-MLO`, and repeats as `L-CC-2`. Projections have no third
  dimension: there is no second sheet.
* `left_imaged`, `right_imaged`: 0 where a breast was not imaged (mastectomy); 1 or empty otherwise.
* `reader1_left`, `reader1_right` or `reader1_exam`: a reader's score; any name after `reader`.
* `group_…`: a subgroup for the report's rows; `note_…`: ignored.
* `fold`: 0, 1 … where folds are given; then in every row.

lesions.csv
* `exam_id`, `side` (L, R, left, right), `x_mm`, `y_mm`, `z_mm`, `malignant`; `lesion_id` may be there.
  Coordinates are RAS millimetres, as NIfTI stores them; with `--lps` they are DICOM's and ITK's.
* `diameter_mm`, `kinetics`, `margin` and `note_…` are ignored.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from pipeline.datalist import MASK, MODALITIES, SIDES, Datalist, Exam, InputError, Lesion
from pipeline.files.tables import Row, read_table
from pipeline.names import RULE, is_name, is_plain

_SIDES = {"L": "left", "R": "right"}
_EXAM_COLUMNS = {"exam_id", "patient_id", "fold"} | {
    f"{side}_{what}" for side in _SIDES.values() for what in ("malignant", "benign", "imaged")
}
_LESION_REQUIRED = ("exam_id", "side", "x_mm", "y_mm", "z_mm", "malignant")
_LESION_COLUMNS = {*_LESION_REQUIRED, "lesion_id", "diameter_mm", "kinetics", "margin"}
_READER = re.compile(r"(reader[^_]*)_(left|right|exam)")
_IMAGES = {  # the image columns, by modality
    "MR": re.compile(rf"pre|post\d+|t2|image|{MASK}", re.IGNORECASE),
    "US": re.compile(rf"image|{MASK}", re.IGNORECASE),
    "MG": re.compile(r"[LR]-(CC|MLO)(-[2-9])?", re.IGNORECASE),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    parser.add_argument("exams", metavar="EXAMS.csv", help="one row an exam")
    parser.add_argument("--lesions", metavar="LESIONS.csv", help="one row a lesion's centre")
    parser.add_argument("--root", help="folder that image paths are relative to (default: that of EXAMS.csv)",
                        default=argparse.SUPPRESS)
    parser.add_argument("--modality", choices=MODALITIES, default="MR", help="modality of the exams")
    parser.add_argument("--images", metavar="A,B,…", default=argparse.SUPPRESS,
                        help="the image columns (default: image and lesions_mask; MR also pre, post1 …, t2; MG L-CC, "
                        "L-MLO, R-CC, R-MLO)")
    parser.add_argument("--lps", action="store_true", help="lesion centres are LPS (DICOM, ITK), not RAS")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the sheets.

    Raises:
        InputError: a sheet cannot be read, or a row contradicts what the columns mean.
    """
    root = Path(getattr(args, "root", None) or Path(args.exams).parent).absolute()
    if not root.is_dir():
        raise InputError(f"--root {root.name}: no such folder; give the one that the images' paths begin in")
    asked = [name.strip() for name in (getattr(args, "images", None) or "").split(",") if name.strip()]
    exams = _read_exams(args.exams, root, asked, args.modality)
    if args.lesions and args.modality == "MG":
        raise InputError("--lesions: centres are points in three dimensions, which mammograms lack; leave it out")
    if args.lesions:
        _read_lesions(args.lesions, exams, flip=args.lps)
    return Datalist(args.name, args.modality, root, list(exams.values()))


def _read_exams(path: str, root: Path, asked: list[str], modality: str) -> dict[str, Exam]:
    images: list[str] = []  # the image columns, in the sheet's order

    def canonical(title: str) -> str | None:
        name = title.lower()
        if title in asked or (not asked and _IMAGES[modality].fullmatch(title)):
            images.append(title if asked else title.upper() if modality == "MG" else name)
            return images[-1]
        if name.startswith("group_"):
            return "group_" + title[6:]
        return name if name in _EXAM_COLUMNS or name.startswith("note_") or _READER.fullmatch(name) else None

    required = ["exam_id", "patient_id", *(f"{side}_malignant" for side in _SIDES.values()), *asked]
    hint = "add it to --images" if asked else "name image columns with --images"
    rows = read_table(path, required, canonical, f"{hint}, prefix notes with note_ and subgroups with group_",
                      _EXAM_COLUMNS)
    file = Path(path).name
    if not images:
        raise InputError(f"{file}: no image column; add one, or name it with --images")
    exams: dict[str, Exam] = {}
    for row in rows:
        exam = _exam(row, root, images)
        if exam.exam_id.casefold() in map(str.casefold, exams):
            raise row.error(f"exam {exam.exam_id} is there a second time, be it in other letters' case; every exam "
                            "takes one row and a name of its own")
        exams[exam.exam_id] = exam
    _check_folds(file, list(exams.values()))
    return exams


def _exam(row: Row, root: Path, images: list[str]) -> Exam:
    exam_id, patient_id = row.required("exam_id"), row.required("patient_id")
    if not is_name(exam_id):
        raise row.error(f"`exam_id` may hold {RULE}; rename the exam")
    for column in ("patient_id", *(name for name in row.cells if name.startswith("group_"))):
        if not is_plain(row.text(column)):
            raise row.error(f"`{column}` begins like a formula (= + - @), is too long or cannot be printed; rename it")
    exam = Exam(exam_id, patient_id, {}, {})
    for image in images:
        if row.text(image):
            exam.images[image] = _relative(row, image, root)
    if not exam.images:
        raise row.error(f"exam {exam_id} has no image; fill in one of {', '.join(images)}, or remove the row")
    for side, word in _SIDES.items():
        labels = {what: row.label(f"{word}_{what}") for what in ("malignant", "benign")}
        if row.label(f"{word}_imaged") != 0:
            exam.breasts[side] = labels
        elif set(labels.values()) != {None}:
            raise row.error(f"exam {exam_id} has labels for its {word} breast, but `{word}_imaged` is 0; "
                            "empty one of them")
    if not exam.breasts:
        raise row.error(f"exam {exam_id} has no imaged breast; remove the row")
    for column, text in row.cells.items():
        if column.startswith("group_") and text:
            name = column.removeprefix("group_")
            exam.groups[name] = text.strip().lower() if name == "detection" else text
        reader = _READER.fullmatch(column)
        score = row.number_in(column) if reader else None
        if reader and score is not None:
            part = {"left": "L", "right": "R", "exam": "exam"}[reader[2]]
            exam.readers.setdefault(reader[1], {})[part] = score
    if row.text("fold"):
        if not re.fullmatch(r"\d{1,3}", row.text("fold"), re.ASCII):
            raise row.error("`fold` is not a whole number; count folds from 0")
        exam.fold = int(row.text("fold"))
    return exam


def _relative(row: Row, column: str, root: Path) -> str:
    """An image's path relative to the root, with the slashes of every system."""
    relative = os.path.relpath(root / row.text(column).replace("\\", "/"), root)
    if relative.split("/")[0] == "..":
        raise row.error(f"`{column}` lies outside the root folder; give its parent with --root")
    return relative


def _check_folds(file: str, exams: list[Exam]) -> None:
    """Folds that came with the sheet are for every exam, are counted 0, 1 …, and keep patients together."""
    folds = {exam.fold for exam in exams} - {None}
    if not folds:
        return
    lacking = [exam.exam_id for exam in exams if exam.fold is None]
    if lacking:
        raise InputError(f"{file}: exam {lacking[0]} has no `fold`, others have; fill it in for all or none")
    if folds != set(range(len(folds))):
        raise InputError(f"{file}: `fold` must count 0, 1, 2 … without gaps; number the folds again")
    first: dict[str, Exam] = {}
    for exam in exams:
        other = first.setdefault(exam.patient_id, exam)
        if other.fold != exam.fold:
            raise InputError(f"{file}: exams {other.exam_id} and {exam.exam_id} are one patient's, in two "
                             "folds; put them into one")


def _read_lesions(path: str, exams: dict[str, Exam], flip: bool) -> None:
    """Add each lesion to its exam; `flip` turns LPS into RAS millimetres."""

    def canonical(title: str) -> str | None:
        name = title.lower()
        return name if name in _LESION_COLUMNS or name.startswith("note_") else None

    sign = -1.0 if flip else 1.0
    for row in read_table(path, _LESION_REQUIRED, canonical, "prefix notes with note_", _LESION_COLUMNS):
        exam_id = row.required("exam_id")
        if exam_id not in exams:
            raise row.error(f"exam {exam_id} is not in the exams' sheet; add it there, or remove the row")
        side = row.required("side").upper()[:1]
        if row.text("side").lower() not in ("l", "r", *_SIDES.values()) or side not in SIDES:
            raise row.error("`side` is none of L, R, left, right; correct it")
        x, y, z = (row.required_number(f"{axis}_mm") for axis in "xyz")
        lesions = exams[exam_id].lesions
        lesion_id = row.text("lesion_id") or str(len(lesions) + 1)
        if not is_name(lesion_id):
            raise row.error(f"`lesion_id` may hold {RULE}; rename the lesion")
        if any(lesion.lesion_id == lesion_id for lesion in lesions):
            raise row.error(f"lesion {lesion_id} of exam {exam_id} is there a second time; number them anew")
        # `+ 0.0` turns a flipped zero, -0.0, into 0.0.
        center = (sign * x + 0.0, sign * y + 0.0, z)
        lesions.append(Lesion(side, center, row.label("malignant"), lesion_id))
