"""INbreast: 410 mammograms of 115 examinations, assessed and outlined.

```
ROOT/…/INbreast.csv (or .xlsx)                            File Name; Laterality; View; ACR; Bi-Rads; …
ROOT/…/AllDICOMs/<File Name>_<patient>_MG_R_CC_ANON.dcm
ROOT/…/AllXML/<File Name>.xml                             contours
```

* Labels are readers' suspicion: BI-RADS 4a to 6 are 1, 1 to 3 are 0; a breast's is the worse of its images. BI-RADS 2
  and 3 are benign, 1 is not.
* The table names no patient: it is the second part of the image's file name. An examination is a patient at one
  `Acquisition date`, where that column is there.
* The sheet's last rows are totals and are passed over; the old `.xls` must be saved as CSV or .xlsx.
* Contours of at least three points become boxes; their label is unknown, or 0 on an image that is not suspicious.
"""

from __future__ import annotations

import argparse
import math
import plistlib
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from data_lists.breasts import SIDES, VIEWS, add_view, in_order, label
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, Finding, InputError
from pipeline.files.tables import read_table

_COLUMNS = ("file name", "laterality", "view", "acr", "bi-rads")
_KEPT = (*_COLUMNS, "acquisition date")
_BIRADS = {"1": 1, "2": 2, "3": 3, "4": 4, "4a": 4, "4b": 4, "4c": 4, "5": 5, "6": 6}
_DENSITY = {"1": "a", "2": "b", "3": "c", "4": "d", "": ""}
_POINT = re.compile(r"\(\s*(-?[\d.]+)\s*,\s*(-?[\d.]+)\s*\)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the table, AllDICOMs and AllXML")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table, find the images, and read their contours.

    Raises:
        InputError: no table, too few images, or a contour file that cannot be read.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("inbreast", "INbreast.csv", "INbreast.xlsx", "INbreast.xls")
    exams: dict[str, Exam] = {}
    labels: dict[tuple[str, str], list[int]] = defaultdict(list)
    seen: set[str] = set()
    for row in read_table(path, _COLUMNS, lambda title: name if (name := title.lower().strip()) in _KEPT else ""):
        name = row.text("file name")
        if not name.isdigit():
            left_out["rows that are no image (the sheet's totals)"] += 1
            continue
        if name in seen:
            raise row.error("this image is there a second time; correct the table")
        seen.add(name)
        files = tree.all_named(f"{name}_*.dcm")
        if matched.add(files[0] if files else None, f"{name}_….dcm") is None:
            continue
        patient = Path(files[0]).stem.split("_")[1]
        date = re.sub(r"\D", "", row.text("acquisition date"))
        exam_id = f"{patient}_{date}" if date else patient
        exam = exams.setdefault(exam_id, Exam(exam_id, patient, {}, {}))
        if density := row.choice("acr", _DENSITY):
            exam.groups["density"] = density
        side, birads = row.choice("laterality", SIDES), row.choice("bi-rads", _BIRADS)
        if side not in Path(files[0]).stem.split("_"):
            raise row.error("`Laterality` contradicts the image's file name; correct the table, or see whether columns "
                            "have slipped")
        labels[exam_id, side].append(birads)
        if view := add_view(exam, side, row.choice("view", VIEWS), files[0], left_out):
            for box in _boxes(tree, name):
                exam.findings.append(Finding(view, box, None if birads > 3 else 0))
    matched.check(args.least, left_out)
    for (exam_id, side), found in labels.items():
        exams[exam_id].breasts[side] = label([int(max(found) > 3)], [int(max(found) > 1) if max(found) < 4 else None])
    return Datalist(args.name, "MG", tree.root, [in_order(exam) for exam in exams.values()],
                    source={"left_out": told(left_out)})


def _boxes(tree: Tree, name: str) -> list[tuple[int, int, int, int]]:
    """Boxes around an image's contours; none where there is no file of them."""
    file = tree.named(f"{name}.xml")
    if file is None:
        return []
    try:
        content: Any = plistlib.loads((tree.root / file).read_bytes(), fmt=plistlib.FMT_XML)
        outlines = [[tuple(map(float, _POINT.fullmatch(text.strip()).groups()))  # type: ignore[union-attr]
                     for text in roi["Point_px"]] for image in content["Images"] for roi in image["ROIs"]]
    except Exception:  # XML that is none, another kind of it, points that are none
        raise InputError(f"{name}.xml: not a file of contours, or damaged; copy it again") from None
    return [(math.floor(min(y for _, y in points)), math.floor(min(x for x, _ in points)),
             math.floor(max(y for _, y in points)) + 1, math.floor(max(x for x, _ in points)) + 1)
            for points in outlines if len(points) > 2]
