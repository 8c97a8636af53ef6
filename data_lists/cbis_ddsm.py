"""CBIS-DDSM: scanned film of 1,566 patients, each breast with a lesion that was biopsied or followed.

```
ROOT/…/{mass,calc}_case_description_{train,test}_set.csv
ROOT/…/Mass-Training_P_00001_LEFT_CC/<study>/<series>/1-1.dcm       the whole picture
ROOT/…/Mass-Training_P_00001_LEFT_CC_1/<study>/<series>/1-1.dcm     outline and cropped picture of lesion 1
```

* A row is a lesion. A breast's label is the worst pathology of its lesions in either view; BENIGN and
  BENIGN_WITHOUT_CALLBACK are benign. No breast is normal.
* Pictures are found by the name of their first folder, in any of the layouts that TCIA has used; where that holds
  several files, by the series' UID or its description.
* 71 pictures are there twice, once for their masses and once for their calcifications: one of them is taken, with the
  findings of both. Outline and crop are swapped in part of the rows: the outline is the file of the picture's size.
  Outlines become boxes (`--no-boxes`: they are not read, which takes minutes less and loses nothing for training).
* 31 patients are in the training part of one lesion type and in the test part of the other. The official split is
  clean for one type alone (`--lesions mass`). `--clean` puts all of such a patient into the test part; without it they
  are two examinations, one on either side.
* Which edge the chest wall is at was not confirmed on real images: `verify` says where it is not as expected.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np
import pydicom
from tqdm import tqdm

from data_lists import splits
from data_lists.breasts import SIDES, VIEWS, add_view, in_order, label
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, Finding, InputError
from pipeline.files.tables import Row, read_table
from transforms.dicom_pixels import decode_pixels
from transforms.dicom_volumes import read_slice

_PATTERN = "*_case_description_*_set.csv"
_COLUMNS = ("patient id", "breast density", "left or right breast", "image view", "abnormality id", "pathology",
            "image file path", "roi mask file path")
_PATHOLOGY = {"malignant": (1, 0), "benign": (0, 1), "benign_without_callback": (0, 1)}  # malignant, benign
_DENSITY = {"1": "a", "2": "b", "3": "c", "4": "d", "0": "", "": ""}
_PATIENT = re.compile(r"P_\d{5}")


@dataclass
class _Picture:
    """One whole picture of the tables: what it shows, the lesions on it, and where it is."""

    patient: str
    side: str
    view: str
    part: str
    series: str
    density: str
    lesions: list[tuple[int, int, str]] = field(default_factory=list)  # malignant, benign, folder of the outline
    path: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the four tables and the pictures, in folders of any depth")
    splits.add_arguments(parser)
    parser.add_argument("--lesions", choices=("both", "mass", "calc"), default="both", help="rows of which tables")
    parser.add_argument("--no-boxes", action="store_true", help="do not read the outlines")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the tables, find the pictures, and read the outlines.

    Raises:
        InputError: no table, too few pictures, or a row that contradicts itself.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    pictures = _pictures(tree, args.lesions)
    below: dict[str, list[str]] = defaultdict(list)  # folder of the tables -> its files
    for folder, names in tree.folders.items():
        for part in folder.split("/"):
            if part in pictures or _PATIENT.search(part):
                below[part] += [f"{folder}/{name}" for name in names if name.lower().endswith(".dcm")]
    there = {name: picture for name, picture in pictures.items()
             if matched.add(_find(tree, name, picture, below.get(name, [])), name) is not None}
    matched.check(args.least, left_out)
    exams = _exams(tree, there, below, args, left_out)
    parts = {exam.exam_id: exam.groups.pop("part") for exam in exams}
    folds, text = splits.official_test(exams, lambda exam: parts[exam.exam_id] == "test", args)
    return Datalist(args.name, "MG", tree.root, exams, folds, source={"left_out": told(left_out), "split": text})


def _pictures(tree: Tree, lesions: str) -> dict[str, _Picture]:
    """The tables' pictures by the name of their first folder."""
    tables = tree.all_named(_PATTERN if lesions == "both" else _PATTERN.replace("*", lesions, 1))
    if not tables:
        raise tree.stranger("cbis-ddsm", f"no {_PATTERN} in it")
    found: dict[str, _Picture] = {}
    for table in tables:
        part = "test" if "_test_" in table.rsplit("/", 1)[-1].lower() else "train"
        for row in read_table(tree.root / table, _COLUMNS, lambda title: name if (
                name := title.lower().replace("_", " ")) in _COLUMNS else ""):
            picture = _picture(row, part)
            name = row.required("image file path").split("/")[0]
            if f"{picture.patient}_{row.text('left or right breast').upper()}_{picture.view}" not in name:
                raise row.error("`image file path` is of another patient, side or view than the row says; correct the "
                                "table, or see whether columns have slipped")
            known = found.setdefault(name, picture)
            known.lesions += [(*row.choice("pathology", _PATHOLOGY), row.text("roi mask file path").split("/")[0])]
    return found


def _picture(row: Row, part: str) -> _Picture:
    patient, path = row.required("patient id"), row.required("image file path").split("/")
    if not _PATIENT.fullmatch(patient):
        raise row.error("`patient_id` is not like P_00001; the table is of another release, or columns have slipped")
    return _Picture(patient, row.choice("left or right breast", SIDES), row.choice("image view", VIEWS), part,
                    path[-2] if len(path) > 2 else "", row.choice("breast density", _DENSITY))


def _find(tree: Tree, name: str, picture: _Picture, files: list[str]) -> str | None:
    """The whole picture among a folder's files; remembered in `picture`."""
    if len(files) > 1:
        named = [file for file in files if picture.series in file.split("/") or "full mammogram" in file.lower()]
        files = named or [file for file in files if (header := read_slice(tree.root / file)) is not None
                          and str(header.header.get("SeriesInstanceUID", "")) == picture.series]
    if len(files) > 1:
        raise InputError(f"{name}: {len(files)} files could be the picture; leave one of them")
    picture.path = files[0] if files else ""
    return picture.path or None


def _exams(tree: Tree, pictures: dict[str, _Picture], below: dict[str, list[str]], args: argparse.Namespace,
           left_out: Counter[str]) -> list[Exam]:
    """An examination a patient; two where the official split goes through it and is kept."""
    parts: dict[str, set[str]] = defaultdict(set)
    for picture in pictures.values():
        parts[picture.patient].add(picture.part)
    exams: dict[str, Exam] = {}
    labels: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    for name, picture in tqdm(sorted(pictures.items(), reverse=True), unit="picture", desc="cbis-ddsm", disable=None):
        torn = len(parts[picture.patient]) > 1
        apart = torn and args.official and not args.clean
        exam_id = f"{picture.patient}_{picture.part}" if apart else picture.patient
        exam = exams.setdefault(exam_id, Exam(exam_id, picture.patient, {}, {}, groups={
            "part": "test" if torn and not apart else picture.part, "density": picture.density}))
        view: str | None = f"{picture.side}-{picture.view}"
        if view in exam.images:  # the same picture once more, for lesions of the other type
            left_out["pictures that are there twice"] += 1
        else:
            view = add_view(exam, picture.side, picture.view, picture.path, left_out)
        labels[exam_id, picture.side] += picture.lesions
        for malignant, _, outline in picture.lesions if not args.no_boxes and view else ():
            if box := _box(tree, picture.path, below.get(outline, []), name, left_out):
                exam.findings.append(Finding(str(view), box, malignant))
    for (exam_id, side), lesions in labels.items():
        exams[exam_id].breasts[side] = label([m for m, _, _ in lesions], [b for _, b, _ in lesions])
    for exam in exams.values():
        exam.groups = {key: value for key, value in exam.groups.items() if value}
    return [in_order(exams[exam_id]) for exam_id in sorted(exams)]


def _box(tree: Tree, path: str, files: list[str], name: str, left_out: Counter[str]
         ) -> tuple[int, int, int, int] | None:
    """The box around an outline: of a lesion's two files the one of the picture's size."""
    whole = read_slice(tree.root / path)
    if whole is None:
        raise InputError(f"{name}: its picture is no DICOM image; copy it again")
    size = whole.header["Rows"], whole.header["Columns"]
    for file in files:
        header = read_slice(tree.root / file)
        if header is not None and (header.header["Rows"], header.header["Columns"]) == size:
            mask = decode_pixels(name, pydicom.dcmread(tree.root / file))
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            if len(rows):
                return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    left_out["lesions without an outline of their picture's size"] += 1
    return None
