"""ODELIA Challenge 2025: breast MRI of six European sites, one label a breast.

```
ROOT/<SITE>/data_unilateral/<UID>/{Pre,Post_1,…,Sub_1,T2}.nii.gz      UID = <study>_left or <study>_right
ROOT/<SITE>/metadata_unilateral/{annotation,split}.csv                UID, PatientID, Lesion; UID, Split, Fold
ROOT/<SITE>/data/<UID>/…   ROOT/<SITE>/metadata/…                     both breasts: Lesion_Left, Lesion_Right
ROOT/…/*.parquet                                                      the same, as Hugging Face stores it
```

* Lesion 0: none, 1: benign, 2: malignant (with DCIS and proliferative lesions with atypia). fastMRI Breast uses 1 and 2
  the other way round. Where a test label is withheld, the breast is unknown.
* The unilateral form is taken where both are there; prepare it with `field_of_view: single`. Its two breasts of one
  study share the patient. Ids are texts, and begin with the site: sites may count alike.
* `Sub_1` is passed over: it is made of `Pre` and `Post_1`. No lesion is marked: the curriculum's first stage needs
  another dataset.
* Official folds are kept where they test every exam once; what is done otherwise is said. `--test-site RSH` holds a
  site out, as the challenge does.
* Parquet is read by pyarrow, and its images are written to `--extract DIR`, never into ROOT.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_lists import splits
from data_lists.files import Matched, Tree, told
from data_lists.files import add_arguments as add_root
from pipeline.datalist import Datalist, Exam, InputError
from pipeline.files.atomic import write_volume
from pipeline.files.tables import Row, read_table

_LESION = {"0": (0, 0), "1": (0, 1), "2": (1, None), "": (None, None)}  # malignant, benign
_IMAGE = re.compile(r"(pre|post_\d+|t2)(\.nii(\.gz)?)?", re.IGNORECASE)
_SPLITS = {"train": "train", "training": "train", "val": "val", "validation": "val", "test": "test"}
_SUFFIX = {"L": "_left", "R": "_right"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The converter's own options."""
    add_root(parser, "folder with a folder a site, or with parquet files")
    splits.add_arguments(parser)
    parser.add_argument("--form", choices=("auto", "unilateral", "bilateral"), default="auto",
                        help="which of the two forms; auto: unilateral where it is there")
    parser.add_argument("--test-site", metavar="SITE", default=argparse.SUPPRESS, help="hold this site out")
    parser.add_argument("--extract", metavar="DIR", default=argparse.SUPPRESS,
                        help="where images of parquet files are written")


def convert(args: argparse.Namespace) -> Datalist:
    """Read the annotations of every site, or the parquet files.

    Raises:
        InputError: no such tables, too few images, or a label that is none.
    """
    tree, left_out, matched = Tree(args.root), Counter[str](), Matched()
    parquet = tree.all_named("*.parquet")
    parts: dict[str, dict[int, str]] = defaultdict(dict)
    if parquet:
        root, exams = _extract(tree, parquet, args, parts)
    else:
        root, exams = tree.root, list(_sites(tree, args.form, matched, parts))
    matched.check(args.least, left_out)
    if site := getattr(args, "test_site", None):
        sites = sorted({exam.groups["site"] for exam in exams})
        if site not in sites:
            raise InputError(f"--test-site {site}: no such site; there are {', '.join(sites)}")
        folds, text = splits.official_test(exams, lambda exam: exam.groups["site"] == site, args)
    else:
        folds, text = splits.official_folds(exams, parts, args)
    return Datalist(args.name, "MR", root, exams, folds, source={"left_out": told(left_out), "split": text})


def _sites(tree: Tree, form: str, matched: Matched, parts: dict[str, dict[int, str]]) -> Iterator[Exam]:
    """Exams of the folder form."""
    tables = tree.all_named("annotation.csv")
    ends = {"unilateral": "metadata_unilateral/annotation.csv", "bilateral": "metadata/annotation.csv"}
    if form == "auto":
        form = next((each for each, end in ends.items() if any(t.endswith(end) for t in tables)), "unilateral")
    tables = [table for table in tables if f"/{table}".endswith(f"/{ends[form]}")]
    if not tables:
        raise tree.stranger("odelia", f"no {ends[form]} in it")
    columns = ("lesion",) if form == "unilateral" else ("lesion_left", "lesion_right")
    seen: set[str] = set()
    for table in tables:
        base = table.removesuffix(ends[form])
        site = base.rstrip("/").rsplit("/", 1)[-1] or tree.root.name
        _read_splits(tree.root / table.replace("annotation.csv", "split.csv"), site, parts)
        for row in read_table(tree.root / table, ("uid", "patientid", *columns), str.lower):
            exam = _exam(row, site)
            if exam.exam_id in seen:
                raise row.error("this UID is there a second time; correct the table")
            seen.add(exam.exam_id)
            folder = f"{base}data{'_unilateral' if form == 'unilateral' else ''}/{row.text('uid')}"
            names = [name for name in tree.folders.get(folder, ()) if _IMAGE.fullmatch(name) and "." in name]
            exam.images = {_contrast(name): f"{folder}/{name}" for name in sorted(names, key=_order)}
            if matched.add(exam.images or None, f"{site} {row.number - 1}"):
                yield exam


def _exam(row: Row, site: str) -> Exam:
    """One row's exam, without images."""
    uid = row.required("uid")
    exam = Exam(f"{site}_{uid}", f"{site}_{row.required('patientid')}", {}, {}, groups={"site": site})
    for side, end in _SUFFIX.items():
        if "lesion" in row.cells and uid.lower().endswith(end):
            exam.breasts[side] = _labels(row, "lesion")
        elif "lesion" not in row.cells:
            exam.breasts[side] = _labels(row, f"lesion{end}")
    if not exam.breasts:
        raise row.error("`uid` ends neither in _left nor in _right; the table is of another form or release")
    return exam


def _labels(row: Row, column: str) -> dict[str, int | None]:
    text = row.text(column).removesuffix(".0")  # pandas' integers with gaps
    if text not in _LESION:
        raise row.error(f"`{column}` is none of 0, 1, 2, empty; correct it, or see whether columns have slipped")
    malignant, benign = _LESION[text]
    return {"malignant": malignant, "benign": benign}


def _read_splits(path: Path, site: str, parts: dict[str, dict[int, str]]) -> None:
    """`split.csv`: which part an exam is in, a fold."""
    if not path.is_file():
        return
    for row in read_table(path, ("uid", "split", "fold"), str.lower):
        parts[f"{site}_{row.required('uid')}"][int(row.required_number("fold"))] = row.choice("split", _SPLITS)


def _contrast(name: str) -> str:
    return name.split(".")[0].lower().replace("_", "")


def _order(name: str) -> tuple[bool, bool, str]:
    """Phases in time, then T2."""
    contrast = _contrast(name)
    return contrast == "t2", contrast != "pre", contrast


def _extract(tree: Tree, files: list[str], args: argparse.Namespace, parts: dict[str, dict[int, str]]
             ) -> tuple[Path, list[Exam]]:
    """Exams of parquet files; their images are written once, next to nothing of ROOT."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError("parquet files are read with pip install 'breast-bundles[tables]'") from None
    if not getattr(args, "extract", None):
        raise InputError(f"{tree.root.name}: parquet files; say where their images go with --extract DIR")
    out = Path(args.extract).absolute()
    if out.resolve().is_relative_to(tree.root.resolve()):
        raise InputError("--extract: lies in ROOT, where nothing is written; choose a folder outside")
    exams: dict[str, Exam] = {}
    for file in files:
        try:
            table = parquet.ParquetFile(tree.root / file)
            names = table.schema_arrow.names
        except Exception:  # pyarrow's own kinds
            raise InputError(f"{Path(file).name}: not a parquet file, or damaged; copy it again") from None
        unilateral = "Lesion" in names
        if args.form != "auto" and (args.form == "unilateral") != unilateral:
            continue
        wanted = ("UID", "PatientID", "Institution", "Lesion" if unilateral else "Lesion_Left")
        if lacking := [name for name in wanted if name not in names]:
            raise InputError(f"{Path(file).name}: column {', '.join(lacking)} is missing; it is of another release")
        for number, batch in enumerate(table.iter_batches(batch_size=1), start=1):
            item = batch.to_pylist()[0]
            exam, images = _item(Row(Path(file).name, number, {
                key.lower(): "" if value is None else str(value) for key, value in item.items()
                if not key.startswith(("Image_", "Affine_"))}), item)
            fold = item.get("Fold")
            if item.get("Split") and fold is not None:
                parts[exam.exam_id][int(fold)] = _SPLITS.get(str(item["Split"]).lower(), "train")
            if exam.exam_id not in exams:
                exam.images = {name: _write(out, exam.exam_id, name, *images[name]) for name in images}
                exams[exam.exam_id] = exam
    return out, list(exams.values())


def _item(row: Row, item: dict[str, Any]) -> tuple[Exam, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """One record's exam, and its images with their affines."""
    exam = _exam(row, row.required("institution"))
    images = {}
    for key in sorted((key.removeprefix("Image_") for key in item if key.startswith("Image_")), key=_order):
        if _IMAGE.fullmatch(key) and item[f"Image_{key}"] is not None:
            array, affine = np.asarray(item[f"Image_{key}"]), np.asarray(item.get(f"Affine_{key}"), float)
            if array.ndim != 3 or affine.shape != (4, 4):
                raise row.error(f"`Image_{key}` is no volume with an affine; it is of another release")
            images[_contrast(key)] = (array.astype(np.int16), affine)
    return exam, images


def _write(out: Path, exam: str, name: str, array: np.ndarray, affine: np.ndarray) -> str:
    path = out / exam / f"{name}.nii.gz"
    if not path.is_file():
        write_volume(path, array, affine)
    return f"{exam}/{name}.nii.gz"
