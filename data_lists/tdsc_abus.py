"""TDSC-ABUS 2023: 200 automated breast ultrasound volumes, one lesion in each, with masks and boxes.

```
Train/DATA/DATA_000.nrrd   Train/MASK/MASK_000.nrrd   Train/labels.csv   Train/bbx_labels.csv
```

* The headers' spacing is a placeholder of 1 mm. The list carries the published one, 0.2 (lateral) × 0.073 (depth) ×
  0.475674 mm (sweep), along the file's axes; `--spacing` gives another.
* Boxes name axes from the last: `c_x` runs along the sweep, `c_z` along the lateral axis. Tables that name them from
  the first exist as well; which one it is shows in whether the boxes fit into the volumes.
* Which breast a volume shows is not published: all are written as `L`.
* The challenge's Test part is held out; Train and Validation are cross-validated.
* No volume is healthy: the bundle's preset `far` takes healthy crops far from the lesion instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.datalist import Datalist, Exam, InputError, Lesion, image_shape
from pipeline.files.tables import Row, read_table
from pipeline.folds import set_aside

SPACING = (0.2, 0.073, 0.475674)  # mm along the file's axes, by the organisers
TEST = "test"
_ENOUGH = 0.9  # of the listed cases must be on disk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    parser.add_argument("root", help="folder that holds Train, Validation and Test, or some of them")
    parser.add_argument("--spacing", metavar="A,B,C", default=",".join(map(str, SPACING)),
                        help="mm between voxels along the files' three axes")
    parser.add_argument("--boxes", choices=("auto", "reversed", "file"), default="auto",
                        help="order of the box table's axes: the files' from the last, or from the first")


@dataclass
class _Case:
    """One case: its files, its box's middle in voxels as the table has it, its label, its part of the challenge."""

    number: int
    image: Path
    mask: Path | None
    middle: np.ndarray
    length: np.ndarray
    malignant: int
    part: str

    def fits(self, order: slice, shape: tuple[int, ...]) -> bool:
        """Whether the box lies inside the volume with the table's axes in that order."""
        middle, half = self.middle[order], self.length[order] / 2
        return bool((middle - half >= -0.5).all() and (middle + half <= np.asarray(shape) - 0.5).all())


def convert(args: argparse.Namespace) -> Datalist:
    """Read the parts that are there.

    Raises:
        InputError: no part is there, a table cannot be read, too few files match, or boxes lie outside their volumes.
    """
    root = Path(args.root).absolute()
    tables = sorted(path for path in root.rglob("*.csv") if path.name.lower() == "labels.csv")
    if not tables:
        raise InputError(f"{root.name}: no labels.csv in it; name the folder that holds Train, Validation and Test")
    spacing = _spacing(args.spacing)
    cases, lacking = [], 0
    for table in tables:
        found, missing = _read_part(table)
        cases += found
        lacking += missing
    if len(cases) < _ENOUGH * (len(cases) + lacking):
        raise InputError(f"{root.name}: {lacking} of {len(cases) + lacking} listed volumes are not on disk; unpack the "
                         "rest, or correct data_path")
    if lacking:
        print(f"warning: {lacking} listed volumes are not on disk and are left out")
    order = _order(cases, args.boxes)
    exams = [_exam(case, root, spacing, order) for case in cases]
    folds = {}
    if {TEST} < {case.part for case in cases}:
        folds = set_aside(exams, {f"TDSC{c.number:03d}" for c in cases if c.part == TEST}, args.folds, args.seed)
    return Datalist(args.name, "US", root, exams, folds)


def _spacing(text: str) -> list[float]:
    try:
        spacing = [float(each) for each in text.split(",")]
    except ValueError:
        spacing = []
    if len(spacing) != 3 or min(spacing) <= 0:
        raise InputError(f"--spacing {text}: give three lengths in mm, separated by commas")
    return spacing


def _read_part(labels: Path) -> tuple[list[_Case], int]:
    """The cases of one labels.csv and the box table beside it, and how many volumes are not on disk."""
    folder = labels.parent
    boxes = next((p for p in sorted(folder.iterdir()) if p.name.lower() == "bbx_labels.csv"), None)
    if boxes is None:
        raise InputError(f"{folder.name}: no bbx_labels.csv beside its labels.csv; copy it there")
    columns = [f"{what}_{axis}" for what in ("c", "len") for axis in "xyz"]
    known = {int(row.required_number("id")): [row.required_number(c) for c in columns]
             for row in read_table(str(boxes), ["id", *columns], _kept("id", *columns), "")}
    on_disk = {path.name.lower(): path for path in sorted(folder.rglob("*.nrrd"))}
    found, lacking = [], 0
    wanted = ("case_id", "label", "data_path", "mask_path")
    for row in read_table(str(labels), list(wanted), _kept(*wanted), ""):
        number = int(row.required_number("case_id"))
        if row.required("label").upper() not in ("M", "B"):
            raise row.error("`label` is neither M nor B; correct it")
        if number not in known:
            raise row.error(f"case {number} has no box in {boxes.name}; add it, or remove the row")
        image = _file(row, "data_path", folder, on_disk)
        if image is None:
            lacking += 1
            continue
        numbers = np.asarray(known[number])
        found.append(_Case(number, image, _file(row, "mask_path", folder, on_disk), numbers[:3], numbers[3:],
                           int(row.text("label").upper() == "M"), folder.name.lower()))
    return found, lacking


def _kept(*names: str) -> Callable[[str], str | None]:
    """Columns by name, whatever their case; others are passed over."""
    return lambda title: title.lower() if title.lower() in names else f"note_{title.lower()}"


def _file(row: Row, column: str, folder: Path, on_disk: dict[str, Path]) -> Path | None:
    """A file by its path in the table, whose slashes lean either way, or else by its name anywhere below."""
    relative = row.required(column).replace("\\", "/")
    path = folder / relative
    return path if path.is_file() else on_disk.get(relative.rsplit("/", 1)[-1].lower())


def _order(cases: list[_Case], asked: str) -> slice:
    """From the table's order of axes to the files'."""
    orders = {"reversed": slice(None, None, -1), "file": slice(None)}
    if asked == "auto":
        shapes = [image_shape(case.image) for case in cases]
        fitting = {name: [case.fits(order, shape) for case, shape in zip(cases, shapes, strict=True)]
                   for name, order in orders.items()}
        asked = max(fitting, key=lambda name: (sum(fitting[name]), name == "reversed"))
        if not all(fitting[asked]):
            bad = cases[fitting[asked].index(False)]
            raise InputError(f"case {bad.number}: its box reaches out of the volume in either order of the axes; "
                             "correct bbx_labels.csv, or say --boxes reversed or --boxes file")
        if asked == "file":
            print("note: the box tables name axes in the files' own order")
    return orders[asked]


def _exam(case: _Case, root: Path, spacing: list[float], order: slice) -> Exam:
    images = {"image": str(case.image.relative_to(root))}
    if case.mask is not None:
        images["lesions_mask"] = str(case.mask.relative_to(root))
    name = f"TDSC{case.number:03d}"
    voxel = case.middle[order] * spacing
    center = (float(-voxel[0]) + 0.0, float(-voxel[1]) + 0.0, float(voxel[2]))  # a bare header's axes are L, P, S
    return Exam(name, name, images, {"L": {"malignant": case.malignant, "benign": 1 - case.malignant}},
                [Lesion("L", center, case.malignant, "1")], groups={"part": case.part}, spacing_mm=spacing)
