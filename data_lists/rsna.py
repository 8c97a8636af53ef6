"""RSNA Screening Mammography Breast Cancer Detection (Kaggle): 54,706 images of 11,913 women at two sites.

```
ROOT/…/train.csv                                    a row an image
ROOT/…/train_images/<patient_id>/<image_id>.dcm     (or .png, as many have converted them)
```

* A patient is an examination. `cancer` is a breast's and repeated on its images; benign where a biopsy found no cancer,
  not benign where BI-RADS is 1, unknown otherwise.
* Several images of a view are `L-CC`, `L-CC-2` …; views other than CC and MLO are left out and counted.
* `test.csv` has no labels and is not read. Images are JPEG-lossless and JPEG 2000: reading them takes the extra
  `dicom`. One site's are MONOCHROME1, which reading honours.
* Subgroups: site, machine, density, implant, and `difficult` for negatives that were hard.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict

from data_lists.breasts import SIDES, VIEWS, add_view, in_order, label
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam
from pipeline.files.tables import Row, read_table

_COLUMNS = ("site_id", "patient_id", "image_id", "laterality", "view", "cancer", "biopsy", "birads", "implant",
            "density", "machine_id", "difficult_negative_case")
_OTHER = dict.fromkeys(("at", "lm", "ml", "lmo"))
_BIRADS = {"0": None, "0.0": None, "1": 0, "1.0": 0, "2": None, "2.0": None, "": None}  # whether benign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with train.csv and train_images")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table and find the images.

    Raises:
        InputError: no table, too few images, or rows of a breast that contradict each other.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("rsna", "train.csv")
    exams: dict[str, Exam] = {}
    breasts: dict[tuple[str, str], Row] = {}
    numbers: dict[str, int] = defaultdict(int)
    for row in read_table(path, _COLUMNS, lambda title: name if (name := title.lower()) in _COLUMNS else ""):
        patient, side = row.required("patient_id"), row.choice("laterality", SIDES)
        first = breasts.setdefault((patient, side), row)
        if row.label("cancer") != first.label("cancer"):
            raise row.error("`cancer` differs between the images of one breast; correct the table")
        view = row.choice("view", {**VIEWS, **_OTHER})
        if view is None:
            left_out["images of other views than CC and MLO"] += 1
            continue
        image = row.required("image_id")
        numbers[image] += 1
        if numbers[image] > 1:
            raise row.error("this image is there a second time; correct the table")
        found = next((f for end in ("dcm", "png") if (f := _of(tree, patient, f"{image}.{end}"))), None)
        if matched.add(found, f"{patient}/{image}.dcm") is None:
            continue
        exam = exams.setdefault(patient, Exam(patient, patient, {}, {}, groups=_groups(row)))
        if row.text("difficult_negative_case").lower() in ("true", "1"):
            exam.groups["difficult"] = "yes"
        if add_view(exam, side, view, str(found), left_out) and side not in exam.breasts:
            cancer, biopsy = first.label("cancer"), first.label("biopsy")
            benign = int(not cancer) if biopsy and cancer is not None else first.choice("birads", _BIRADS)
            exam.breasts[side] = label([cancer], [benign])
    matched.check(args.least, left_out)
    return Datalist(args.name, "MG", tree.root, [in_order(exam) for exam in exams.values()],
                    source={"left_out": told(left_out)})


def _of(tree: Tree, patient: str, name: str) -> str | None:
    """An image in its patient's folder."""
    return next((path for path in tree.all_named(name) if f"/{path}".endswith(f"/{patient}/{name}")), None)


def _groups(row: Row) -> dict[str, str]:
    groups = {"site": row.text("site_id"), "machine": row.text("machine_id"), "density": row.text("density").lower(),
              "implant": {"1": "yes", "0": "no"}.get(row.text("implant"), "")}
    return {name: value for name, value in groups.items() if value}
