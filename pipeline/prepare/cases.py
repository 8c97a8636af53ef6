"""The prepared list: what `prepare.yaml` left, read as cases of a unit, a fold and its splits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.datalist import SPLITS
from pipeline.errors import InputError

SCHEMA = "breast-bundles/prepared/2"
LIST = "prepared.json"


def load(folder: Path | str) -> dict[str, Any]:
    """The content of a prepared dataset's list.

    Raises:
        InputError: no prepared dataset in the folder.
    """
    path = Path(folder) / LIST
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{Path(folder).name}: holds no {LIST}; run prepare.yaml first and give its output as "
                         "dataset_dir") from None
    except json.JSONDecodeError:
        raise InputError(f"{path.name}: damaged; run prepare.yaml again, exams that are ready are kept") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"{path.name}: not a prepared dataset ({SCHEMA}); run prepare.yaml again")
    return content


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
        raise InputError(f"{Path(folder).name}: was not prepared for this bundle (it holds no {unit}); run the "
                         "bundle's own prepare.yaml into another folder")
    check_fold(content, fold)
    if not splits or not set(splits) <= set(SPLITS):
        raise InputError(f"splits {splits} must be some of {', '.join(SPLITS)}")
    cases = []
    for breast in content[unit]:
        if (split := breast["splits"][fold]) in splits:
            cases.append({**breast, "image": str(Path(folder) / breast["image"]), "split": split})
    labels = {case[label] for case in cases} - {None}
    if not labels:
        raise InputError(f"fold {fold} has no labelled {unit[:-1]} in {' or '.join(splits)}; check the datalist's "
                         "labels")
    return cases
