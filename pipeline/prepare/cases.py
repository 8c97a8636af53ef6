"""The prepared list: what `prepare.yaml` left, read as cases of a unit, a fold and its splits."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datalist import APART, SPLITS
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.files.receipts import demand, digest, digest_of, is_sealed, sealed

_AGAIN = "run prepare.yaml again, exams that are ready are kept"
VERSION = 7  # of the arrays; raise it whenever the same parameters give others
SCHEMA = "breast-bundles/prepared/3"
LIST = "prepared.json"
_ASIDE = ("datalist", "listed", "truth", "source")  # what may change without the cases being others


def save(folder: Path | str, content: Mapping[str, Any], datalist: Path | str) -> None:
    """Write the list, with the digest of all it says: what is changed by hand is noticed.

    Args:
        folder: where the arrays are.
        content: cases and what they were prepared with.
        datalist: what they were prepared from; its place may change, and is not part of the digest.
    """
    where = {"datalist": os.path.relpath(datalist, folder)}
    if Path(datalist).is_file():
        where["listed"] = digest(datalist)
    write_json(Path(folder) / LIST, sealed({**content, **where}, *_ASIDE))


def load(folder: Path | str) -> dict[str, Any]:
    """The content of a prepared dataset's list.

    Raises:
        InputError: no prepared dataset in the folder, or a list that was changed since it was written.
    """
    path = Path(folder) / LIST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{Path(folder).name}: holds no {LIST}; run prepare.yaml first and give its output as "
                         "dataset_dir") from None
    except (OSError, ValueError):
        raise InputError(f"{path.name}: damaged; {_AGAIN}") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path.name}: not a prepared dataset ({SCHEMA}); run prepare.yaml again")
    if not is_sealed(content, *_ASIDE):
        raise InputError(f"{path.name}: was changed since prepare.yaml wrote it; correct labels and folds in the "
                         f"datalist, then {_AGAIN}", code="changed")
    return content


def inputs_digest(folder: Path | str, outlines: bool = False) -> str:
    """Digest of labels, folds, parameters and the sources' content: what results depend on.

    Args:
        folder: of a prepared dataset.
        outlines: of lesions' masks and sizes too. Without them the digest is that of the same exams before there were
            any: who takes none does nothing again when masks are added.
    """
    content = json.loads((Path(folder) / LIST).read_text(encoding="utf-8"))
    known = any(isinstance(value, list) and any("outlines" in case for case in value) for value in content.values())
    if outlines or not known:
        return str(content["digest"])
    bare = {name: [{k: v for k, v in case.items() if k != "outlines"} for case in value]
            if isinstance(value, list) else value for name, value in content.items() if name not in _ASIDE}
    return digest_of({name: value for name, value in bare.items() if name != "digest"})


def assignment(content: Mapping[str, Any], unit: str) -> str:
    """Digest of which patients a fold trains on, validates and tests: what weights must not be mixed over.

    Exams that are apart from another dataset's folds may be scored by the weights of these.
    """
    if APART in content["folds"]:
        return str(content["folds"][APART])
    return digest_of(sorted({(case["patient_id"], tuple(case["splits"])) for case in content[unit]}))


def stored_channels(folder: Path | str) -> list[str]:
    """Contrasts of the arrays, in their order."""
    return list(load(folder)["parameters"]["channels"])


def check_fold(content: dict[str, Any], fold: int) -> None:
    """Raise `InputError` where a prepared list has no such fold."""
    count = content["folds"].get("count", 0)
    if not 0 <= fold < count:
        raise InputError(f"fold {fold} does not exist; this dataset has folds 0 to {count - 1}")


def labelled_cases(folder: Path | str, fold: int, splits: Sequence[str], unit: str = "breasts",
                   label: str = "malignant") -> list[dict[str, Any]]:
    """Entries of the prepared list, with the paths of their arrays and the split that they are in.

    Each says its `fold`, and under `assignment` whose folds these are: weights remember both.

    Args:
        folder: what `prepare.yaml` wrote.
        fold: which fold.
        splits: of `train`, `validation`, `test`.
        unit: name of the list of cases.
        label: key of the label that at least one case must have.

    Raises:
        InputError: no such unit, fold or split, or no case with a label.
    """
    content = load(folder)
    if unit not in content:
        raise InputError(f"{Path(folder).name}/{LIST}: was not prepared for this bundle (it holds no {unit}); run the "
                         "bundle's own prepare.yaml into another folder")
    check_fold(content, fold)
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"splits {splits} must be some of {', '.join(SPLITS)}")
    about = {"fold": int(fold), "assignment": assignment(content, unit)}
    cases = []
    for breast in content[unit]:
        if (split := breast["splits"][fold]) in splits:
            cases.append({**breast, **about, "image": str(Path(folder) / breast["image"]), "split": split})
    labels = {case[label] for case in cases} - {None}
    if not labels:
        raise InputError(f"fold {fold} has no labelled {unit[:-1]} in {' or '.join(splits)}; check the datalist's "
                         "labels")
    return cases


def demand_array(case: Mapping[str, Any]) -> None:
    """Refuse a case whose array, or whose mask where it is to be read, is not what `prepare.yaml` wrote for it.

    Raises:
        InputError: the array is missing, or its content has changed.
    """
    for array, sha256 in (("image", "sha256"), ("mask", "mask_sha256")):
        if sha256 in case and case.get(array):
            demand(case[array], case[sha256], "delete it and run prepare.yaml again, all other arrays are kept")
