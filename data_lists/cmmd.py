"""CMMD, Chinese Mammography Database: 1,775 patients with biopsied breasts, 5,202 images.

```
ROOT/…/CMMD_clinicaldata_revision.xlsx                 a row a breast: ID1, LeftRight, abnormality, classification
ROOT/…/D1-0001/<study>/<series>/1-1.dcm                two images a breast
```

* A breast's label is its row's. A breast that was imaged and has no row is unknown (729 of 2,601), not healthy;
  `--drop-unlabelled` leaves these out. No breast is normal.
* The table has neither side nor view of an image: both come from the headers, the view by ViewCodeSequence.
* Patients of `D2` are nearly all malignant (753 of 765 breasts): the id gives the label away. It is the group `subset`.
"""

from __future__ import annotations

import argparse
import re
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import pydicom
from tqdm import tqdm

from data_lists.breasts import SIDES, VIEWS, add_view, in_order
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, InputError
from pipeline.files.tables import Row, read_table

_PATIENT = re.compile(r"D[12]-\d{4}")
_COLUMNS = ("id1", "leftright", "abnormality", "classification")
_CLASS = {"malignant": (1, None), "benign": (0, 1)}  # malignant, benign
_VIEW_CODES = {"399162004": "CC", "R-10242": "CC", "399368009": "MLO", "R-10226": "MLO"}  # SNOMED CT, SNOMED RT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the clinical table and a folder a patient")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table, and side and view of every image.

    Raises:
        InputError: no table, too few patients, or an image whose header says neither side nor view.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("cmmd", "CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata_revision.csv")
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in read_table(path, _COLUMNS, lambda title: name if (name := title.lower()) in _COLUMNS else ""):
        patient, side = row.required("id1"), row.choice("leftright", SIDES)
        if not _PATIENT.fullmatch(patient):
            raise row.error("`ID1` is not like D1-0001; the table is of another release, or columns have slipped")
        row.choice("classification", _CLASS)
        if side in rows[patient]:
            raise row.error(f"breast {side} of {patient} is there a second time; correct the table")
        rows[patient][side] = row
    files: dict[str, list[str]] = defaultdict(list)
    for folder, names in tree.folders.items():
        if patient_of := _PATIENT.search(folder):
            files[patient_of[0]] += [f"{folder}/{name}" for name in names if name.lower().endswith(".dcm")]
    exams = []
    for patient in tqdm(sorted(rows), unit="patient", desc="cmmd", disable=None):
        if matched.add(files.get(patient) or None, patient) is not None:
            exams.append(_exam(tree, patient, files[patient], rows[patient], left_out))
    matched.check(args.least, left_out)
    left_out["patients without a row"] = len(set(files) - set(rows))
    return Datalist(args.name, "MG", tree.root, exams, source={"left_out": told(left_out)})


def _exam(tree: Tree, patient: str, files: list[str], rows: dict[str, Row], left_out: Counter[str]) -> Exam:
    kinds = sorted({row.text("abnormality").lower() for row in rows.values()} - {""})
    exam = Exam(patient, patient, {}, {}, groups={"subset": patient[:2]})
    if kinds:
        exam.groups["finding"] = "+".join(kinds)
    for file in sorted(files, key=lambda name: (len(name), name)):
        side, view = side_and_view(tree.root / file, patient)
        if add_view(exam, side, view, file, left_out):
            malignant, benign = rows[side].choice("classification", _CLASS) if side in rows else (None, None)
            exam.breasts[side] = {"malignant": malignant, "benign": benign}
    left_out["rows of breasts without an image"] += len(set(rows) - set(exam.breasts))
    return in_order(exam)


def side_and_view(path: Path, name: str) -> tuple[str, str]:
    """L or R, CC or MLO, by a file's header; the code of the view goes before its text.

    Raises:
        InputError: it says neither.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[
                "ImageLaterality", "Laterality", "ViewCodeSequence", "ViewPosition"])
        codes = header.get("ViewCodeSequence") or []
        view = _VIEW_CODES.get(str(codes[0].get("CodeValue", ""))) if codes else None
        view = view or VIEWS.get(str(header.get("ViewPosition", "")).lower())
        side = SIDES.get(str(header.get("ImageLaterality") or header.get("Laterality") or "").lower())
    except Exception:  # pydicom raises many kinds, some of which quote the header
        raise InputError(f"{name}: {path.name} is not a DICOM file, or damaged; copy it again") from None
    if side is None or view is None:
        raise InputError(f"{name}: the header of {path.name} does not say side and view; leave the image out")
    return side, view
