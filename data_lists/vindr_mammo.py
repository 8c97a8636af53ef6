"""VinDr-Mammo: 5,000 screening examinations of four views, read by radiologists, with boxes of findings.

```
ROOT/…/breast-level_annotations.csv     a row an image: study_id, image_id, laterality, view_position, breast_birads, …
ROOT/…/finding_annotations.csv          a row a finding: the same keys, finding_birads, xmin, ymin, xmax, ymax
ROOT/…/images/<study_id>/<image_id>.dicom
```

* Labels are readers' suspicion, not biopsies: BI-RADS 4 and 5 are 1, 1 and 2 are 0, 3 is unknown unless `--birads-3`
  says otherwise. BI-RADS 2 is benign, 1 is not; the worse of a breast's two rows counts.
* No patient is named: every examination counts as a patient of its own.
* The official test part is held out. Its column is `split`, and `fold` in the authors' own notebook.
* Boxes are in pixels of the image as stored; findings without one (No Finding) have none. Their label is their own
  BI-RADS, unknown where there is none.
* Both polarities and padding occur: reading honours the header, nothing is to be done here.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter

from data_lists import splits
from data_lists.breasts import SIDES, VIEWS, add_view, in_order, label
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, Finding
from pipeline.files.tables import Row, read_table

_IMAGE = ("study_id", "image_id", "laterality", "view_position", "height", "width")
_BREAST = (*_IMAGE, "breast_birads", "split")
_FINDING = (*_IMAGE, "finding_birads", "xmin", "ymin", "xmax", "ymax")
_BIRADS = {f"bi-rads {k}": k for k in range(1, 6)}
_DENSITY = {**{f"density {letter}": letter for letter in "abcd"}, "": ""}
_PARTS = {"training": "train", "train": "train", "test": "test"}
_BEYOND = 5  # pixels; boxes that reach out further are errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the two tables and the images")
    splits.add_arguments(parser)
    parser.add_argument("--birads-3", choices=("unknown", "negative", "positive"), default="unknown",
                        help="what BI-RADS 3 counts as")
    parser.add_argument("--no-boxes", action="store_true", help="do without the table of findings")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the tables and find the images.

    Raises:
        InputError: a table is missing or of another release, too few images, or a box outside its image.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    three = {"unknown": None, "negative": 0, "positive": 1}[args.birads_3]
    malignant = {1: 0, 2: 0, 3: three, 4: 1, 5: 1}
    path = tree.table("vindr-mammo", "breast-level_annotations.csv")
    exams: dict[str, Exam] = {}
    worst: dict[tuple[str, str], int] = {}
    views: dict[str, tuple[Exam, str]] = {}
    parts: dict[str, str] = {}
    for row in read_table(path, _BREAST, _column):
        study, side = row.required("study_id"), row.choice("laterality", SIDES)
        image, birads = row.required("image_id"), row.choice("breast_birads", _BIRADS)
        if image in views:
            raise row.error("this image is there a second time; correct the table")
        if parts.setdefault(study, row.choice("split", _PARTS)) != row.choice("split", _PARTS):
            raise row.error("`split` differs between the images of one examination; correct the table")
        found = next((f for end in ("dicom", "dcm", "png") if (f := tree.named(f"{image}.{end}"))), None)
        if matched.add(found, f"{image}.dicom") is None:
            continue
        exam = exams.setdefault(study, Exam(study, study, {}, {}))
        density = row.choice("breast_density", _DENSITY)
        exam.groups |= {"density": max(density, exam.groups.get("density", ""))} if density else {}
        worst[study, side] = max(worst.get((study, side), 0), birads)
        if name := add_view(exam, side, row.choice("view_position", VIEWS), str(found), left_out):
            views[image] = (exam, name)
    matched.check(args.least, left_out)
    for (study, side), birads in worst.items():
        exams[study].breasts[side] = label([malignant[birads]], [{1: 0, 2: 1}.get(birads)])
    if not args.no_boxes:
        for row in read_table(tree.table("vindr-mammo", "finding_annotations.csv"), _FINDING, _column):
            exam_view = views.get(row.required("image_id"))
            if exam_view and (box := _box(row)):
                birads = row.choice("finding_birads", {**_BIRADS, "": 0})
                exam_view[0].findings.append(Finding(exam_view[1], box, malignant.get(birads)))
    kept = [in_order(exam) for exam in exams.values()]
    folds, text = splits.official_test(kept, lambda exam: parts[exam.exam_id] == "test", args)
    return Datalist(args.name, "MG", tree.root, kept, folds, source={"left_out": told(left_out), "split": text})


def _column(title: str) -> str:
    name = title.lower()
    return "split" if name == "fold" else name if name in (*_BREAST, *_FINDING, "breast_density") else ""


def _box(row: Row) -> tuple[int, int, int, int] | None:
    """A finding's box, the ends not included; None where it has none."""
    edges = [row.number_in(column) for column in ("ymin", "xmin", "ymax", "xmax")]
    if all(edge is None for edge in edges):
        return None
    top, left, bottom, right = (row.required_number(column) for column in ("ymin", "xmin", "ymax", "xmax"))
    rows, columns = row.required_number("height"), row.required_number("width")
    if not (-_BEYOND <= top < bottom <= rows + _BEYOND and -_BEYOND <= left < right <= columns + _BEYOND):
        raise row.error("the box is empty or reaches out of its image; correct the table, or see whether columns have "
                        "slipped")
    return (max(0, math.floor(top)), max(0, math.floor(left)), min(int(rows), math.ceil(bottom)),
            min(int(columns), math.ceil(right)))
