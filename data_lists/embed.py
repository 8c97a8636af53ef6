"""EMBED, the open fifth: 480,323 mammograms of 22,382 women at Emory, with findings, pathology and boxes.

```
ROOT/…/EMBED_OpenData_clinical.csv (or …_reduced.csv)    a row a finding
ROOT/…/EMBED_OpenData_metadata.csv (or …_reduced.csv)    a row an image
ROOT/…/<name of anon_dicom_path>
```

* An examination is an `acc_anon`. Findings belong to the images of their side; without side, or with `B`, to both.
* A breast is malignant where path_severity is 0 or 1 (invasive, in situ), in this examination or in a later one of the
  same woman within `--within` days, as a diagnostic one carries what a screening led to; benign where it is 2 to 6.
  Else by the assessment: N and B are 0, all others (A: recalled, without pathology; P, S, M, K) unknown.
* Screening examinations are taken (`--exams all`: every one). Of images: 2D, CC or MLO, without spot or magnification.
* ROI_coords are (ymin, xmin, ymax, xmax); a box is not malignant on a breast that is not, else unknown.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from data_lists.breasts import SIDES, VIEWS, add_view, in_order, label
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, Finding, InputError
from pipeline.files.tables import read_columns

_CLINICAL = ("empi_anon", "acc_anon", "study_date_anon", "desc", "tissueden", "asses", "side", "path_severity")
_IMAGES = ("anon_dicom_path", "empi_anon", "acc_anon", "finalimagetype", "imagelateralityfinal", "viewposition",
           "spot_mag", "num_roi", "roi_coords")
_ASSESSED = {"N": (0, 0), "B": (0, 1)}  # malignant, benign; others say neither
_PLAIN = {("2D", spot) for spot in ("", "0", "0.0")}
_DENSITY = {"1": "a", "2": "b", "3": "c", "4": "d"}
_BOX = re.compile(r"[(\[]\s*" + r"\s*,\s*".join([r"(-?\d+(?:\.\d+)?)"] * 4) + r"\s*[)\]]")
Labels = dict[tuple[str, str], tuple[int | None, int | None]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the tables and the images, in folders of any depth")
    parser.add_argument("--exams", choices=("screening", "all"), default="screening", help="which examinations")
    parser.add_argument("--within", type=int, default=365, metavar="DAYS", help="days in which pathology is looked for")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the tables and find the images.

    Raises:
        InputError: a table is missing or of another release, or too few images.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    clinical = _clinical(tree.table("embed", "EMBED_OpenData_clinical.csv", "EMBED_OpenData_clinical*.csv"))
    labels = _labels(clinical, args.within)
    densities = dict(zip(clinical["acc_anon"], clinical["tissueden"], strict=True))
    if args.exams == "screening":
        clinical = clinical[clinical["desc"].str.contains("screen", case=False)]
    wanted = set(clinical["acc_anon"])
    path = tree.table("embed", "EMBED_OpenData_metadata.csv", "EMBED_OpenData_metadata*.csv")
    exams: dict[str, Exam] = {}
    for number, name, patient, exam_id, kind, side, view, spot, _, boxes in read_columns(path, _IMAGES).itertuples(
            name=None):
        if exam_id not in wanted:
            left_out["images of other examinations"] += 1
        elif (kind.upper(), spot) not in _PLAIN or view.lower() not in VIEWS or side.lower() not in SIDES:
            left_out["images that are not plain 2D views, CC or MLO"] += 1
        elif (found := matched.add(tree.named(name.rsplit("/", 1)[-1]), name.rsplit("/", 1)[-1])) is not None:
            exam = exams.setdefault(exam_id, Exam(exam_id, patient, {}, {}))
            if exam.patient_id != patient:
                raise InputError(f"{path.name}, row {number}: examination of another `empi_anon` than its other rows; "
                                 "correct the table")
            breast = SIDES[side.lower()]
            added = add_view(exam, breast, VIEWS[view.lower()], found, left_out)
            malignant, benign = labels.get((exam_id, breast), (None, None))
            exam.breasts[breast] = label([malignant], [benign])
            for box in _boxes(boxes, path, number) if added else ():
                exam.findings.append(Finding(str(added), box, 0 if malignant == 0 else None))
    for exam in exams.values():
        if density := _DENSITY.get(densities.get(exam.exam_id, "").removesuffix(".0")):
            exam.groups["density"] = density
    matched.check(args.least, left_out)
    return Datalist(args.name, "MG", tree.root, [in_order(exam) for exam in exams.values()],
                    source={"left_out": told(left_out)})


def _clinical(path: Path) -> pd.DataFrame:
    """The findings, checked."""
    table = read_columns(path, _CLINICAL)
    for column, good, words in (
            ("side", table["side"].isin(["L", "R", "B", ""]), "none of L, R, B, empty"),
            ("asses", table["asses"].str.fullmatch(r"[ANBPSMKX]?"), "none of A, N, B, P, S, M, K, X, empty"),
            ("path_severity", table["path_severity"].str.fullmatch(r"[0-6]?(?:(?<=\d)\.0)?"), "none of 0 to 6, empty")):
        if not good.all():
            raise InputError(f"{path.name}, row {table.index[~good][0]}: `{column}` is {words}; correct it, or see "
                             "whether columns have slipped")
    table["date"] = pd.to_datetime(table["study_date_anon"], errors="coerce")
    table["severity"] = pd.to_numeric(table["path_severity"], errors="coerce")
    return table


def _labels(table: pd.DataFrame, within: int) -> Labels:
    """Examination and side to malignant and benign: by pathology, of later examinations too, else by assessment."""
    sides = table["side"].map(lambda side: ["L", "R"] if side in ("B", "") else [side])
    both = table.assign(side=sides).explode("side")
    proven = both[both["severity"].notna()]
    later: dict[tuple[str, str], list[tuple[pd.Timestamp, str, float]]] = defaultdict(list)
    for patient, side, date, exam, severity in proven[["empi_anon", "side", "date", "acc_anon", "severity"]].itertuples(
            index=False, name=None):
        later[patient, side].append((date, exam, severity))
    found: Labels = {}
    for key, rows in both.groupby(["acc_anon", "side"], sort=False):
        exam, side = map(str, key)
        date = rows["date"].iloc[0]
        severities = [severity for then, other, severity in later.get((rows["empi_anon"].iloc[0], side), ())
                      if other == exam or pd.Timedelta(0) <= then - date <= pd.Timedelta(days=within)]
        if severities:
            found[exam, side] = (int(min(severities) <= 1), int(max(severities) > 1))
        else:
            assessed = [_ASSESSED.get(value, (None, None)) for value in rows["asses"]]
            labels = label([m for m, _ in assessed], [b for _, b in assessed])
            found[exam, side] = (labels["malignant"], labels["benign"])
    return found


def _boxes(text: str, path: Path, number: int) -> list[tuple[int, int, int, int]]:
    """The boxes of a cell, the ends not included."""
    found = []
    for groups in _BOX.findall(text):
        top, left, bottom, right = map(float, groups)
        if not (0 <= top < bottom and 0 <= left < right):
            raise InputError(f"{path.name}, row {number}: a box of `ROI_coords` is empty or begins outside the image; "
                             "correct it")
        found.append((math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right)))
    return found
