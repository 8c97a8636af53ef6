"""A row of `predictions.csv`: what every paper's evaluation says of a case, and `report` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("exam_id", "patient_id", "side", "fold", "split", "label", "score")
ITEM = ("exam_id", "side", "image_id", "lesion_id", "task")  # what tells rows apart, where the columns are there
UNKNOWN = ("", "-1", "-1.0")  # labels of a task that say nothing of a case


def prediction_row(case: Mapping[str, Any], fold: int, names: Mapping[str, Any] | None = None,
                   **values: Any) -> dict[str, Any]:
    """One case's row; ids of the study only, never a path.

    Args:
        case: `exam_id`, `patient_id`, `side`, `split`, `label`, `groups` (name to stratum) and `readers` (name to
            score, None where a reader gave none).
        fold: the fold.
        names: what tells cases of one side apart, e.g. `lesion_id`.
        values: what the network found, e.g. `score`.

    Returns:
        the columns in their order: names of the case, fold, split, label, values, `group_…`, `reader_…`.
    """
    return {"exam_id": case["exam_id"], "patient_id": case["patient_id"], "side": case["side"], **(names or {}),
            "fold": fold, "split": case["split"], "label": int(case["label"]), **values,
            **{f"group_{name}": value for name, value in case["groups"].items()},
            **{f"reader_{name}": value for name, value in case["readers"].items()}}


def case_of(batch: Mapping[str, Any], i: int) -> dict[str, Any]:
    """What a batch says of its case `i`, for `prediction_row`."""
    return {key: batch[key][i] for key in ("exam_id", "patient_id", "side", "split", "label", "groups", "readers")}
