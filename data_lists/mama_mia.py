"""MAMA-MIA: 1,506 patients of Duke, ISPY1, ISPY2 and NACT with cancers outlined by experts.

```
ROOT/…/clinical_and_imaging_info.xlsx     sheet dataset_info     ROOT/…/train_test_splits.csv
ROOT/…/images/<PID>/<pid>_0000.nii.gz …   0000 is before contrast, 0001 the first after it
ROOT/…/segmentations/expert/<pid>.nii.gz
```

* Every patient has cancer: no benign lesion, no normal breast. The outlined breast is malignant, the other 0 where it
  is in the image (not proven normal), or 1 where the cancer is bilateral. ISPY1, NACT: sagittal, one breast.
* The outline is `lesions_mask`; its largest piece gives centre and size, and its place the side: by the middle of a
  bilateral image, by the sign of x in one of a single breast.
* These are the same women as in the collections that it was made of. `DUKE_001` is `Breast_MRI_001`: never train on one
  and test on the other (`python -m data_lists check`). `--sources ISPY2,NACT` takes some of them.
* Folders are in upper case, files in lower; either is found.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from data_lists import splits
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import MASK, Datalist, Exam, InputError, Lesion
from pipeline.files.tables import read_table
from transforms.load import read_image

_COLUMNS = ("patient_id", "dataset", "bilateral_breast_cancer", "bilateral_mri")
_YES = {"1": 1, "0": 0, "true": 1, "false": 0, "yes": 1, "no": 0, "": None}
_MOST = 12  # phases


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with the table, images and segmentations")
    splits.add_arguments(parser)
    parser.add_argument("--sources", metavar="A,B", default=argparse.SUPPRESS, help="collections to take: DUKE, ISPY1, "
                        "ISPY2, NACT (default: all)")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the table, and each patient's outline.

    Raises:
        InputError: no table, too few images, or an outline that cannot be read.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    path = tree.table("mama-mia", "clinical_and_imaging_info.xlsx", "clinical_and_imaging_info.csv")
    wanted = {name.strip().upper() for name in getattr(args, "sources", "").split(",") if name.strip()}
    rows = read_table(path, _COLUMNS, lambda title: name if (name := title.lower()) in (*_COLUMNS, "view") else "",
                      sheet="dataset_info" if path.suffix == ".xlsx" else None)
    kept = [row for row in rows if not wanted or row.required("dataset").upper() in wanted]
    if not kept:
        raise InputError(f"--sources {','.join(sorted(wanted))}: no patient of these; there are "
                         f"{', '.join(sorted({row.text('dataset').upper() for row in rows}))}")
    exams: dict[str, Exam] = {}
    for row in tqdm(kept, unit="patient", desc="mama-mia", disable=None):
        patient = row.required("patient_id").upper()
        if patient in exams:
            raise row.error(f"{patient} is there a second time; correct the table")
        phases = {("pre" if k == 0 else f"post{k}"): found for k in range(_MOST)
                  if (found := tree.named(f"{patient}_{k:04d}.nii.gz")) is not None}
        if matched.add(phases or None, patient) is None:
            continue
        groups = {"source": row.required("dataset").upper(), "view": row.text("view").lower()}
        exam = exams[patient] = Exam(patient, patient, phases, {}, groups={k: v for k, v in groups.items() if v})
        outline = next((p for p in tree.all_named(f"{patient}.nii.gz") if "/expert/" in f"/{p}"), None)
        bilateral = row.choice("bilateral_mri", _YES) == 1
        lesion = _lesion(tree, outline, bilateral) if outline else None
        if lesion is None:
            left_out["outlines that are missing or empty (their patients have no label)"] += 1
            exam.breasts = {side: {"malignant": None, "benign": None} for side in "LR"}
            continue
        exam.images[MASK], exam.lesions = str(outline), [lesion]
        both = row.choice("bilateral_breast_cancer", _YES)
        exam.breasts = {side: {"malignant": 1 if side == lesion.side else both, "benign": None}
                        for side in ("LR" if bilateral else lesion.side)}
    matched.check(args.least, left_out)
    tested = _tested(tree)
    folds, text = splits.official_test(list(exams.values()), lambda exam: exam.patient_id in tested, args)
    return Datalist(args.name, "MR", tree.root, list(exams.values()), folds,
                    source={"left_out": told(left_out), "split": text})


def _lesion(tree: Tree, outline: str, bilateral: bool) -> Lesion | None:
    """The largest piece of an outline; None where it is empty."""
    image = read_image(tree.root / outline)
    pieces, count = ndimage.label(image.array > 0)
    if not count:
        return None
    voxels = np.argwhere(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)
    x, y, z = (round(float(v), 3) for v in (image.affine @ [*voxels.mean(axis=0), 1])[:3])
    extent = np.abs(image.affine[:3, :3]) @ (np.ptp(voxels, axis=0) + 1)
    middle = (image.affine @ [*((np.array(image.array.shape) - 1) / 2), 1])[0] if bilateral else 0.0
    width, depth, tall = (round(float(v), 3) for v in extent)
    return Lesion("R" if x > middle else "L", (x, y, z), 1, "1", (width, depth, tall))


def _tested(tree: Tree) -> set[str]:
    """Patients of the official test part: a column of ids a part, or a column that names each patient's."""
    if not tree.all_named("train_test_splits.csv"):
        return set()
    rows = read_table(tree.table("mama-mia", "train_test_splits.csv"), (), str.lower)
    columns = list(rows[0].cells) if rows else []
    if "patient_id" in columns and "split" in columns:
        return {row.text("patient_id").upper() for row in rows if row.text("split").lower().startswith("test")}
    named = [column for column in columns if "test" in column]
    if len(named) != 1:
        raise InputError("train_test_splits.csv: no column names the test part; it is of another release")
    return {row.text(named[0]).upper() for row in rows} - {""}
