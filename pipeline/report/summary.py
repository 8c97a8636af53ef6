"""One number from several folds: their mean, their spread, and how far other patients would move it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics import area_interval, interval


def fold_summary(values: ArrayLike, draws: ArrayLike, labels: Sequence[ArrayLike] | None = None) -> dict[str, Any]:
    """Mean over folds with its sample standard deviation and 95 % interval.

    Folds in which the value is undefined (one class) are left out of all three. Folds are resampled
    independently, so a replicate of the mean is the mean of the folds' replicates.

    Args:
        values: one a fold, shape (folds,), NaN where undefined.
        draws: bootstrap replicates, shape (folds, count).
        labels: of each fold's rows, where the values are areas under the ROC curve.

    Returns:
        `mean`, `sd` (NaN with one fold), `per_fold`, `ci95`.
    """
    values, draws = np.asarray(values, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    defined = np.isfinite(values)
    if not defined.any():
        return {"mean": math.nan, "sd": math.nan, "per_fold": values, "ci95": [math.nan, math.nan]}
    sd = values[defined].std(ddof=1) if defined.sum() > 1 else math.nan
    ends = interval(draws[defined].mean(axis=0)) if labels is None else area_interval(
        values[defined], draws[defined], [label for label, known in zip(labels, defined, strict=True) if known])
    return {"mean": values[defined].mean(), "sd": sd, "per_fold": values, "ci95": ends}


def plain(value: Any) -> Any:
    """Plain JSON values: arrays as lists, numbers to six digits, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
