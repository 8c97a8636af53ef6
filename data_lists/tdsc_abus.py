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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_lists import splits
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from data_lists.splits import official_test
from pipeline.datalist import Datalist, Exam, InputError, Lesion, image_shape
from pipeline.files.tables import Row, read_table

SPACING = (0.2, 0.073, 0.475674)  # mm along the file's axes, by the organisers
TEST = "test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder that holds Train, Validation and Test, or some of them")
    splits.add_arguments(parser)
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
    tree = Tree(args.root)
    if not (tables := tree.all_named("labels.csv")):
        raise tree.stranger("tdsc-abus", "no labels.csv in it")
    spacing, matched, left_out = _spacing(args.spacing), Matched(), Counter[str]()
    cases = [case for table in tables for case in _read_part(tree, table, matched)]
    matched.check(args.least, left_out)
    order = _order(cases, args.boxes)
    exams = [_exam(case, tree.root, spacing, order) for case in cases]
    test = {f"TDSC{case.number:03d}" for case in cases if case.part == TEST}
    folds, split = official_test(exams, lambda exam: exam.exam_id in test, args)
    return Datalist(args.name, "US", tree.root, exams, folds, source={"left_out": told(left_out), "split": split})


def _spacing(text: str) -> list[float]:
    try:
        spacing = [float(each) for each in text.split(",")]
    except ValueError:
        spacing = []
    if len(spacing) != 3 or min(spacing) <= 0:
        raise InputError(f"--spacing {text}: give three lengths in mm, separated by commas")
    return spacing


def _read_part(tree: Tree, table: str, matched: Matched) -> list[_Case]:
    """The cases of one labels.csv and of the box table beside it."""
    labels = tree.root / table
    folder, beside = labels.parent, table.rpartition("/")[0]
    name = next((name for name in tree.folders[beside or "."] if name.lower() == "bbx_labels.csv"), None)
    if name is None:
        raise InputError(f"{folder.name}: no bbx_labels.csv beside its labels.csv; copy it there")
    boxes = folder / name
    columns = [f"{what}_{axis}" for what in ("c", "len") for axis in "xyz"]
    known = {int(row.required_number("id")): [row.required_number(c) for c in columns]
             for row in read_table(str(boxes), ["id", *columns], _kept("id", *columns), "")}
    found = []
    wanted = ("case_id", "label", "data_path", "mask_path")
    for row in read_table(str(labels), list(wanted), _kept(*wanted), ""):
        number = int(row.required_number("case_id"))
        if row.required("label").upper() not in ("M", "B"):
            raise row.error("`label` is neither M nor B; correct it")
        if number not in known:
            raise row.error(f"case {number} has no box in {boxes.name}; add it, or remove the row")
        image = matched.add(_file(row, "data_path", tree, beside), f"volume {number}")
        if image is None:
            continue
        numbers = np.asarray(known[number])
        found.append(_Case(number, image, _file(row, "mask_path", tree, beside), numbers[:3], numbers[3:],
                           int(row.text("label").upper() == "M"), folder.name.lower()))
    return found


def _kept(*names: str) -> Callable[[str], str | None]:
    """Columns by name, whatever their case; others are passed over."""
    return lambda title: title.lower() if title.lower() in names else f"note_{title.lower()}"


def _file(row: Row, column: str, tree: Tree, beside: str) -> Path | None:
    """A file by its name, anywhere below its table; the table's slashes lean either way."""
    below = f"{beside}/" if beside else ""
    name = row.required(column).replace("\\", "/").rsplit("/", 1)[-1]
    found = next((path for path in tree.all_named(name) if path.startswith(below)), None)
    return None if found is None else tree.root / found


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
