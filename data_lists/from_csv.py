"""Your own exams, from a spreadsheet (CSV or .xlsx): one row an exam, and a second sheet with one row a lesion.

```
exam_id;patient_id;pre;post1;left_malignant;left_benign;right_malignant;right_benign;group_density;reader1_left
E1;P1;E1/pre.nii.gz;E1/post1.nii.gz;1;0;0;;c;5
```

exams.csv
* `exam_id`, `patient_id`, `left_malignant`, `right_malignant` must be there; `left_benign`, `right_benign`
  may. A label is 0, 1 or empty (unknown); yes, no, TRUE, FALSE, NA are read as such.
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
* Any other column is left out, and named; one that looks like one of these is asked about (`data_lists.mapping`).

lesions.csv
* `exam_id`, `side` (L, R, left, right), `x_mm`, `y_mm`, `z_mm`, `malignant`; `lesion_id` may be there.
  Coordinates are RAS millimetres, as NIfTI stores them; with `--lps` they are DICOM's and ITK's.
* `size_x_mm`, `size_y_mm`, `size_z_mm`, a lesion's extent along the same axes, or `diameter_mm`, may be there: all
  of them, or none, in a row.
* Instead of it `--points FOLDER`: points that were set in 3D Slicer (`data_lists.marked_points`).
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_lists import marked_points
from data_lists.mapping import UNKNOWN, Columns
from data_lists.sheet_columns import (
    DIAMETER,
    IMAGES,
    LABELS,
    LESIONS_NEED,
    READER,
    SIZES,
    ask,
    exam_columns,
    lesion_columns,
    plain_words,
    tell_columns,
)
from pipeline.datalist import MODALITIES, SIDES, Datalist, Exam, InputError, Lesion
from pipeline.files.tables import Row, read_table
from pipeline.names import RULE, is_name, is_plain

_SIDES = {"L": "left", "R": "right"}
_REQUIRED = ("exam_id", "patient_id", "left_malignant", "right_malignant")
_WITHOUT_LESIONS = {  # what cannot be trained then
    "MR": "no lesion is marked: the curriculum's stage 1 (train_patches.yaml) and the whole transfer bundle cannot "
    "train. What can: study bundles/breast_mri_curriculum --variants naive_1e-5,naive_1e-4",
    "US": "no lesion is marked: breast_ultrasound_center_point cannot train, its crops lie around marked centres",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    parser.add_argument("exams", metavar="EXAMS.csv", help="one row an exam; CSV, or .xlsx (its first sheet)")
    parser.add_argument("--lesions", metavar="LESIONS.csv", help="one row a lesion's centre", default=argparse.SUPPRESS)
    parser.add_argument("--points", metavar="FOLDER", default=argparse.SUPPRESS,
                        help="lesions as points of 3D Slicer, EXAM.mrk.json, instead of LESIONS.csv")
    parser.add_argument("--root", help="folder that image paths are relative to (default: that of EXAMS.csv)",
                        default=argparse.SUPPRESS)
    parser.add_argument("--modality", choices=MODALITIES, default="MR", help="modality of the exams")
    parser.add_argument("--images", metavar="A,B,…", default=argparse.SUPPRESS,
                        help="the image columns (default: image and lesions_mask; MR also pre, post1 …, t2; MG L-CC, "
                        "L-MLO, R-CC, R-MLO)")
    parser.add_argument("--lps", action="store_true", help="lesion centres are LPS (DICOM, ITK), not RAS")
    parser.add_argument("--map", metavar="MAPPING.yaml", default=argparse.SUPPRESS,
                        help="how the sheets' columns are read, as the command proposes it where it must guess")
    parser.add_argument("--yes", action="store_true", help="accept what is guessed")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the sheets; what was read otherwise than it stands there is in the source's notes.

    Raises:
        InputError: a sheet cannot be read, a row contradicts what the columns mean, or something must be guessed.
    """
    given: dict[str, Any] = vars(args)
    root = Path(given.get("root") or Path(args.exams).parent).absolute()
    if not root.is_dir():
        raise InputError(f"--root {root.name}: no such folder; give the one that the images' paths begin in")
    asked = [name.strip() for name in (given.get("images") or "").split(",") if name.strip()]
    lesions, points = given.get("lesions"), given.get("points")
    if lesions and points:
        raise InputError("--lesions and --points: lesions come from one of them; leave the other out")
    if (lesions or points) and args.modality == "MG":
        raise InputError(f"--{'lesions' if lesions else 'points'}: centres are points in three dimensions, which "
                         "mammograms lack; leave it out")
    notes: list[str] = []
    sheets = {args.exams: exam_columns(args.exams, asked, args.modality, given.get("map"))}
    if lesions:
        sheets[lesions] = lesion_columns(lesions, given.get("map"))
    ask(sheets, args.yes)
    exams = _read_exams(args.exams, sheets[args.exams], root, asked, args.modality, notes)
    find = _finder(exams, args.yes, notes)
    if lesions:
        _read_lesions(lesions, sheets[lesions], exams, find, args.lps, notes)
    if points:
        marked_points.add(points, exams, find)
    _check_images(Path(args.exams).name, list(exams.values()), root, args.yes, notes)
    if args.modality in _WITHOUT_LESIONS and not any(exam.lesions for exam in exams.values()):
        notes.append(_WITHOUT_LESIONS[args.modality])
    return Datalist(args.name, args.modality, root, list(exams.values()),
                    source={"notes": list(dict.fromkeys(notes))})


def _read_exams(path: str, columns: Columns, root: Path, asked: list[str], modality: str,
                notes: list[str]) -> dict[str, Exam]:
    file = Path(path).name
    rows = read_table(path, [*_REQUIRED, *asked], columns.read)
    tell_columns(file, columns, notes)
    images = [name for name in columns.names.values() if name
              and (name in asked if asked else IMAGES[modality].fullmatch(name))]
    if not images:
        raise InputError(f"{file}: no image column; add one, or name it with --images")
    plain = [*images, *(name for name in columns.names.values() if name and READER.fullmatch(name))]
    exams: dict[str, Exam] = {}
    for row in rows:
        plain_words(row, LABELS, plain, notes)
        exam = _exam(row, root, images)
        if exam.exam_id.casefold() in map(str.casefold, exams):
            raise row.error(f"exam {exam.exam_id} is there a second time, be it in other letters' case; every exam "
                            "takes one row and a name of its own")
        exams[exam.exam_id] = exam
    _check_folds(file, list(exams.values()))
    return exams


def _finder(exams: Mapping[str, Exam], yes: bool, notes: list[str]) -> Callable[[str], str | None]:
    """Finds an exam by its id, and by one that lost the zeros at its front, as spreadsheets make `1` of `001`."""
    bare: dict[str, list[str]] = {}
    for name in exams:
        bare.setdefault(name.lstrip("0"), []).append(name)

    def find(exam_id: str) -> str | None:
        if exam_id in exams:
            return exam_id
        near = bare.get(exam_id.lstrip("0"), [])
        if len(near) != 1:
            return None
        if not yes:
            raise InputError(f"exam {exam_id} is not in the exams' sheet, but {near[0]} is: did a spreadsheet take the "
                             "zeros at its front away? Accept that with --yes, or format the column as text")
        notes.append(f"exams are matched without the zeros at their ids' front, {exam_id} with {near[0]} for example")
        return near[0]

    return find


def _check_images(file: str, exams: list[Exam], root: Path, yes: bool, notes: list[str]) -> None:
    """Look whether the images are there: none is a wrong root, some are named."""
    missing = [(exam.exam_id, image) for exam in exams for image, path in exam.images.items()
               if not (root / path.partition("#")[0]).exists()]
    if not missing:
        return
    count = sum(len(exam.images) for exam in exams)
    exam_id, image = missing[0]
    if len(missing) == count and not yes:
        raise InputError(f"{file}: none of the {count} images is there, the first of them exam {exam_id}, `{image}`: "
                         "give the folder that their paths begin in with --root, or --yes where they lie on another "
                         "machine")
    notes.append(f"{file}: {len(missing)} of {count} images are not there, the first of them exam {exam_id}, "
                 f"`{image}`; `verify` names all")


def _exam(row: Row, root: Path, images: list[str]) -> Exam:
    exam_id, patient_id = row.required("exam_id"), row.required("patient_id")
    if patient_id.lower() in UNKNOWN:  # all of them would be one patient
        raise row.error("`patient_id` says that it is not known; give every patient an id, any will do")
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
        reader = READER.fullmatch(column)
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


def _read_lesions(path: str, columns: Columns, exams: dict[str, Exam], find: Callable[[str], str | None], flip: bool,
                  notes: list[str]) -> None:
    """Add each lesion to its exam; `flip` turns LPS into RAS millimetres."""
    sign = -1.0 if flip else 1.0
    rows = read_table(path, LESIONS_NEED, columns.read)
    tell_columns(Path(path).name, columns, notes)
    for row in rows:
        plain_words(row, ["malignant"], [*SIZES, DIAMETER], notes)
        asked = row.required("exam_id")
        try:
            exam_id = find(asked)
        except InputError as error:
            raise row.error(str(error)) from None
        if exam_id is None:
            raise row.error(f"exam {asked} is not in the exams' sheet; add it there, or remove the row")
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
        lesions.append(Lesion(side, center, row.label("malignant"), lesion_id, _size(row)))


def _size(row: Row) -> tuple[float, float, float] | None:
    """A lesion's extent along x, y and z; whichever way round these run, it is the same."""
    sizes = [row.number_in(column) for column in SIZES]
    if all(size is None for size in sizes):
        sizes = [row.number_in(DIAMETER)] * 3
    known = [size for size in sizes if size is not None]
    if not known:
        return None
    if len(known) < 3 or min(known) <= 0:
        raise row.error(f"a lesion's size is three lengths above 0, {', '.join(SIZES)}, or one, {DIAMETER}; correct "
                        "it, or leave all of them empty")
    return known[0], known[1], known[2]
