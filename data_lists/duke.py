"""Duke-Breast-Cancer-MRI: one examination before surgery of each of 922 patients with invasive cancer.

```
ROOT/…/Annotation_Boxes.xlsx   Clinical_and_Other_Features.xlsx   Breast-Cancer-MRI-filepath_filename-mapping.xlsx
ROOT/…/Breast_MRI_001/<study>/<series>/1-001.dcm
```

* The mapping table alone says which series is which phase; descriptions differ between scanners. Its series are found
  by the folder's name (the SeriesInstanceUID, `MR_` before it in newer downloads) or else by the UID in the files'
  headers, so that both of TCIA's layouts are read. `T1` without fat suppression is passed over; there is no T2.
* A breast is malignant where the tumour is (`Tumor Location`), both where `Bilateral Information` is 1. Where that is
  `NC`, the other breast is unknown. The other breast is not proven normal: `benign` is unknown everywhere.
* A box's rows and columns are voxels of the fat-suppressed series, its slices are counted by InstanceNumber, all from
  1 and inclusive. Instance numbers go down the patient as often as up, and rows may be turned by 180 degrees: corners
  go through the files' own places. Half a voxel of doubt remains: enough for a centre, not for an overlap.
* Only the largest lesion has a box. A box beyond the middle of the image from its side is counted, and its lesion
  keeps side and label without a point.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, InputError, Lesion
from pipeline.files.tables import Row, read_columns, read_table
from transforms.dicom_volumes import Slice, Volume, read_slice, scan, split

_BOXES, _CLINICAL = "Annotation_Boxes", "Clinical_and_Other_Features"
_MAPPING = "Breast-Cancer-MRI-filepath_filename-mapping"
_PATIENT = re.compile(r"Breast_MRI_\d{3}")
_PHASES = {"pre": "pre", **{f"post_{k}": f"post{k}" for k in range(1, 9)}}
_EDGES = ("start row", "end row", "start column", "end column", "start slice", "end slice")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the three tables and the series, in folders of any depth")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the tables and the headers of each patient's series.

    Raises:
        InputError: a table is missing, or is of another release; too few series are there; centres are mirrored.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    clinical = _read(tree, _CLINICAL, ("patient id", "tumor location", "bilateral information"), header=2, legend=1)
    boxes = _read(tree, _BOXES, ("patient id", *_EDGES))
    phases = _phases(tree, matched)
    matched.check(args.least, left_out)
    exams, beyond = [], 0
    for patient in tqdm(sorted(set(clinical) & set(phases)), unit="patient", desc="duke", disable=None):
        exam = Exam(patient, patient, phases[patient], _breasts(clinical[patient]))
        if box := boxes.get(patient):
            lesion, placed = _lesion(tree.root / phases[patient].get("pre", next(iter(phases[patient].values()))), box,
                                     clinical[patient])
            exam.lesions = [lesion] if lesion else []
            beyond += not placed
        exams.append(exam)
    left_out["series of patients without a clinical row"] = len(set(phases) - set(clinical))
    left_out["boxes on the other side of the midline (their lesions have no point)"] = beyond
    if beyond > max(1, 0.2 * len(exams)):
        raise InputError(f"{beyond} of {len(exams)} boxes lie on the other side of their breast; the box table is of "
                         "another release, or the images are mirrored")
    return Datalist(args.name, "MR", tree.root, exams, source={"left_out": told(left_out)})


def _read(tree: Tree, table: str, columns: tuple[str, ...], header: int = 1, legend: int = 0) -> dict[str, Row]:
    """A table's rows by patient."""
    path = tree.table("duke", f"{table}.xlsx", f"{table}.csv")
    found: dict[str, Row] = {}
    for row in read_table(path, columns, lambda title: name if (name := " ".join(title.lower().split())) in columns
                          else "", header=header, legend=legend):
        patient = row.required("patient id")
        if not _PATIENT.fullmatch(patient):
            raise row.error("`patient id` is not like Breast_MRI_001; the table is of another release, or columns have "
                            "slipped")
        if patient in found:
            raise row.error(f"{patient} is there a second time; correct the table")
        found[patient] = row
    return found


def _phases(tree: Tree, matched: Matched) -> dict[str, dict[str, str]]:
    """Patient to phase to the folder of its series, by the mapping table."""
    path = tree.table("duke", f"{_MAPPING}.xlsx", f"{_MAPPING}.csv")
    print(f"reading {path.name} (a minute where it is a workbook)", file=sys.stderr)
    table = read_columns(path, ["original_path_and_filename", "classic_path"])
    wanted: dict[tuple[str, str], str] = {}  # patient and phase -> SeriesInstanceUID
    for number, (original, classic) in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        parts, folder = original.split("/"), classic.split("/")
        if len(parts) < 4 or not _PATIENT.fullmatch(parts[1]) or len(folder) < 3:
            raise InputError(f"{path.name}, row {number}: not a path like DICOM_Images/Breast_MRI_001/pre/…; the table "
                             "is of another release, or columns have slipped")
        if parts[2] in _PHASES and wanted.setdefault((parts[1], parts[2]), folder[-2]) != folder[-2]:
            raise InputError(f"{path.name}, row {number}: {parts[1]} {parts[2]} lies in two series; correct the table")
    there = _series(tree, set(wanted.values()))
    found: dict[str, dict[str, str]] = {}
    order = list(_PHASES)
    for (patient, phase), uid in sorted(wanted.items(), key=lambda item: (item[0][0], order.index(item[0][1]))):
        if (folder_of := matched.add(there.get((patient, uid)), f"{patient} {phase}")) is not None:
            found.setdefault(patient, {})[_PHASES[phase]] = folder_of
    if not there:
        raise tree.stranger("duke", "none of the series of the mapping table in it")
    return found


def _series(tree: Tree, wanted: set[str]) -> dict[tuple[str, str], str]:
    """Patient and SeriesInstanceUID to folder."""
    found = {}
    for folder, names in tree.folders.items():
        patient, slices = _PATIENT.search(folder), [name for name in names if name.lower().endswith(".dcm")]
        if not patient or not slices:
            continue
        uid = folder.rsplit("/", 1)[-1].removeprefix("MR_")
        if uid not in wanted:
            header = read_slice(tree.root / folder / slices[0])
            uid = str(header.header.get("SeriesInstanceUID", "")) if header else ""
        if uid in wanted:
            found[patient[0], uid] = folder
    return found


def _breasts(row: Row) -> dict[str, dict[str, int | None]]:
    side = row.choice("tumor location", {"l": "L", "r": "R", "left": "L", "right": "R", "nc": None, "": None})
    other = row.choice("bilateral information", {"0": 0, "1": 1, "nc": None, "": None})
    return {each: {"malignant": None if side is None else 1 if each == side else other, "benign": None}
            for each in ("L", "R")}


def _lesion(series: Path, box: Row, row: Row) -> tuple[Lesion | None, bool]:
    """The largest lesion; whether its box lies on its side."""
    breasts = _breasts(row)
    side = next((side for side, breast in breasts.items() if breast["malignant"] == 1), None)
    if side is None:
        return None, True
    edges = [box.required_number(edge) for edge in _EDGES]
    volume = split(series.name, next(iter(scan(series).values())))[0]
    limits = (volume.shape[1], volume.shape[0], volume.shape[2])  # rows, columns, slices
    for (first, last), most in zip(zip(edges[::2], edges[1::2], strict=True), limits, strict=True):
        if not 1 <= first <= last <= most:
            raise box.error("the box reaches out of its image or ends before it begins; the table is of another "
                            "release, or columns have slipped")
    corner = [place(volume, *np.subtract(edges[k::2], 1)) for k in (0, 1)]
    center = np.mean(corner, axis=0)
    size = np.abs(corner[1] - corner[0]) + np.abs(volume.affine[:3, :3]).sum(axis=1)  # both ends included
    middle = float((volume.affine @ [(volume.shape[0] - 1) / 2, (volume.shape[1] - 1) / 2, 0, 1])[0])
    bilateral = all(breast["malignant"] == 1 for breast in breasts.values())
    seen = "R" if center[0] > middle else "L"  # RAS: x grows to the right
    extent = (round(float(size[0]), 3), round(float(size[1]), 3), round(float(size[2]), 3))
    if bilateral:  # the box is of the larger lesion, whichever side that is
        side = seen
    if seen != side:
        return Lesion(side, (None, None, None), 1, "1", extent), False
    return Lesion(side, (round(float(center[0]), 3), round(float(center[1]), 3), round(float(center[2]), 3)), 1, "1",
                  extent), True


def place(volume: Volume, row: float, column: float, number: float) -> np.ndarray:
    """RAS millimetres of a voxel: row, column, and slice in the order of the instance numbers, all from 0."""
    def instance(each: Slice) -> float:
        value = each.number("InstanceNumber")
        if value is None:
            raise InputError(f"{each.path.parent.name}: a slice has no InstanceNumber; copy the series again")
        return value

    order = sorted(range(len(volume.slices)), key=lambda k: instance(volume.slices[k]))
    z = np.interp(number, np.arange(len(order)), order)
    return np.asarray((volume.affine @ [column, row, z, 1])[:3])
