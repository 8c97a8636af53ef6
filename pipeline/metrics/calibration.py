"""Whether a score of 0.3 means three in ten."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from pipeline.metrics.roc import checked


def wilson(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share of successes, by scipy.

    Returns:
        Lower and upper bound in [0, 1]; (NaN, NaN) of nothing.
    """
    if not total:
        return math.nan, math.nan
    found = binomtest(successes, total).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


def reliability(label: ArrayLike, score: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Observed share of malignant breasts against the mean score, in bins of about equally many breasts.

    Equal scores stay in one bin, so that there can be fewer bins than asked for.

    Args:
        label: 0 or 1, shape (n,).
        score: probabilities, shape (n,).
        bins: number of quantile bins.

    Returns:
        A bin each: `n`, `malignant`, mean `score`, `share` of malignant, and Wilson's `low` and `high`.
    """
    label, score = checked(label, score)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1])) if len(score) else np.empty(0)
    place = np.searchsorted(edges, score, side="left")
    table = []
    for i in np.unique(place):
        inside = place == i
        total, malignant = int(inside.sum()), int(label[inside].sum())
        low, high = wilson(malignant, total)
        table.append({"n": total, "malignant": malignant, "score": float(score[inside].mean()),
                      "share": malignant / total, "low": low, "high": high})
    return table


def calibration_error(bins: list[dict[str, float]]) -> float:
    """Expected calibration error: Σ n |share − score| / Σ n over the bins of `reliability`; NaN of none."""
    total = sum(b["n"] for b in bins)
    return sum(b["n"] * abs(b["share"] - b["score"]) for b in bins) / total if total else math.nan
