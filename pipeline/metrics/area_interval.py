"""The interval of an AUROC: Wald's on the logit, with the bootstrap's error, and Newcombe's where nothing moves.

Percentiles of replicates end too early near 1, where areas are skewed and replicates cannot pass it. On the logit the
skew is gone and the error is still that of clustered patients and several folds. Where the classes are separated in
every fold, all replicates are 1 and say nothing; there it is R. Newcombe's score interval (Statistics in Medicine 25
(2006), 559–573, method 5): all areas θ from which the one found is at most z standard errors away, with the error that
θ itself would have (Hanley and McNeil). Chosen by simulated coverage, see docs/explanation/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from pipeline.metrics.bootstrap import LEAST_DEFINED

Sizes = Sequence[tuple[int, int]]  # positives and negatives of each fold
_EDGE = 1e-9  # 0 and 1 have no variance: where one of them was found, it would solve for itself


def area_interval(areas: ArrayLike, draws: ArrayLike, labels: Sequence[ArrayLike],
                  level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean area of several folds, or of one.

    Args:
        areas: one a fold, shape (folds,), none of them NaN.
        draws: their patient-clustered replicates, shape (folds, count).
        labels: 0 or 1, of each fold.
        level: of confidence.

    Returns:
        Its ends in [0, 1]; (NaN, NaN) where more than one in ten replicates lacks a class.
    """
    area, moved = float(np.asarray(areas, float).mean()), np.asarray(draws, float).mean(axis=0)
    defined = moved[np.isfinite(moved)]
    if not len(defined) or len(defined) < LEAST_DEFINED * len(moved):
        return float("nan"), float("nan")
    if 0 < area < 1:
        return on_logits(area, float(defined.std()), level)
    return score_ends(area, [(int(np.sum(label)), int(np.sum(1 - np.asarray(label)))) for label in labels], level=level)


def on_logits(area: float, error: float, level: float = 0.95) -> tuple[float, float]:
    """Wald's interval of the logit of an area between 0 and 1, whose standard error is given."""
    half = norm.ppf((1 + level) / 2) * error / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return float(low), float(high)


def score_ends(area: float, sizes: Sizes, effect: float = 1.0, level: float = 0.95) -> tuple[float, float]:
    """Newcombe's interval of the mean area of folds of these sizes; `effect` multiplies the variance."""
    z = norm.ppf((1 + level) / 2)

    def away(at: float) -> float:
        """Distance from what was found, in squares, less what `level` allows."""
        return (area - at) ** 2 - z**2 * effect * sum(_variance(at, *size) for size in sizes) / len(sizes) ** 2

    low = 0.0 if area <= 0 else float(brentq(away, 0, min(area, 1 - _EDGE)))
    high = 1.0 if area >= 1 else float(brentq(away, max(area, _EDGE), 1))
    return low, high


def _variance(area: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil's variance of an area with exponential scores, with Newcombe's mean class size."""
    size = (positives + negatives) / 2 - 1
    pairs = 1 + size * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * pairs / (positives * negatives)
