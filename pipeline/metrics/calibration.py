"""Whether a score of 0.3 means three in ten."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from pipeline.metrics.roc import checked


def wilson(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share p = successes / total.

    (p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n), with z the normal quantile (1.96 at 95 %).

    Returns:
        Lower and upper bound in [0, 1]; (NaN, NaN) of nothing.
    """
    if not total:
        return math.nan, math.nan
    z = float(norm.ppf((1 + level) / 2))
    share = successes / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The bounds of none and of all are 0 and 1 exactly, which rounding would miss.
    low = (centre - half) / scale if successes else 0.0
    high = (centre + half) / scale if successes < total else 1.0
    return low, high


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
