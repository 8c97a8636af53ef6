"""The area under the ROC curve, the curve itself, and thresholds read off it.

A breast counts as positive where its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def checked(label: ArrayLike, score: ArrayLike) -> tuple[NDArray[np.int64], Array]:
    """Labels and scores as arrays, or a ValueError: a NaN score would otherwise be ranked as the highest.

    Args:
        label: 0 or 1, shape (n,).
        score: any finite numbers, shape (n,).

    Returns:
        Both, as int64 and float64.
    """
    label, score = np.asarray(label), np.asarray(score, dtype=np.float64)
    if label.ndim != 1 or label.shape != score.shape:
        raise ValueError(f"labels of shape {label.shape} and scores of shape {score.shape} do not match")
    if not np.isin(label, (0, 1)).all():
        raise ValueError("a label is neither 0 nor 1")
    if not np.isfinite(score).all():
        raise ValueError("a score is not a finite number")
    return label.astype(np.int64), score


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """The probability that a malignant breast scores higher than another one; a tie counts one half.

    With R₁ the sum of the midranks of the m positives among all, and n negatives:
    AUROC = (R₁ − m (m + 1) / 2) / (m n).

    Args:
        label: 0 or 1, shape (n,).
        score: shape (n,).

    Returns:
        The area in [0, 1]; NaN where a class is missing.

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
        0.875
    """
    label, score = checked(label, score)
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(score)[label == 1].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


@dataclass
class Curve:
    """A ROC curve: counts at each distinct score as the threshold, from the highest down.

    The first point is the threshold above all scores, where nothing is positive.
    """

    threshold: Array  # (k + 1,), descending; the first is inf
    true_positives: NDArray[np.int64]  # (k + 1,)
    false_positives: NDArray[np.int64]  # (k + 1,)

    @property
    def positives(self) -> int:
        """Number of malignant breasts."""
        return int(self.true_positives[-1])

    @property
    def negatives(self) -> int:
        """Number of the others."""
        return int(self.false_positives[-1])

    @property
    def one_class(self) -> bool:
        """Whether a class is missing, so that nothing can be read off the curve."""
        return not self.positives or not self.negatives


def roc_curve(label: ArrayLike, score: ArrayLike) -> Curve:
    """The ROC curve of n breasts with k distinct scores.

    Args:
        label: 0 or 1, shape (n,).
        score: shape (n,).
    """
    label, score = checked(label, score)
    order = np.argsort(-score, kind="stable")
    score, label = score[order], label[order]
    last = np.flatnonzero(np.diff(score, append=-np.inf))  # the last breast of each distinct score
    true = np.cumsum(label)[last]
    return Curve(np.r_[np.inf, score[last]], np.r_[0, true], np.r_[0, last + 1 - true])


def youden_threshold(label: ArrayLike, score: ArrayLike) -> float:
    """The score at which J = sensitivity + specificity − 1 is largest.

    Of several such scores the lowest is taken, the one with the highest sensitivity: a cancer missed weighs
    more than a recall.

    Args:
        label: 0 or 1, shape (n,).
        score: shape (n,).

    Returns:
        The threshold, one of the scores; NaN where a class is missing.
    """
    curve = roc_curve(label, score)
    if curve.one_class:
        return float("nan")
    # J · positives · negatives: whole numbers, so that ties are ties.
    gain = (curve.true_positives * curve.negatives - curve.false_positives * curve.positives)[1:]
    return float(curve.threshold[1:][np.flatnonzero(gain == gain.max())[-1]])


def specificity_threshold(label: ArrayLike, score: ArrayLike, target: float) -> float:
    """The lowest score at which the specificity is at least `target`.

    Where no score reaches it, a threshold just above the highest score: nothing is positive then.
    NaN where there is no negative.
    """
    curve = roc_curve(label, score)
    if not curve.negatives:
        return float("nan")
    allowed = (1 - target) * curve.negatives + 1e-9
    index = np.flatnonzero(curve.false_positives <= allowed)[-1]
    return float(curve.threshold[index] if index else np.nextafter(curve.threshold[1], np.inf))


def sensitivity_threshold(label: ArrayLike, score: ArrayLike, target: float) -> float:
    """The highest score at which the sensitivity is at least `target`; NaN where there is no positive."""
    curve = roc_curve(label, score)
    if not curve.positives:
        return float("nan")
    needed = target * curve.positives - 1e-9
    index = np.flatnonzero(curve.true_positives[1:] >= needed)[0]
    return float(curve.threshold[1 + index])


def roc_band(curves: Sequence[Curve], points: int = 101) -> tuple[Array, Array, Array]:
    """Mean and standard deviation of the folds' sensitivities along the false-positive rate.

    Each curve is interpolated linearly between its points; curves with one class are left out.

    Args:
        curves: one a fold.
        points: number of false-positive rates, evenly spaced over [0, 1].

    Returns:
        False-positive rates, mean and sample standard deviation (0 with one curve), each of shape (points,);
        the last two are NaN where no curve has both classes.
    """
    grid = np.linspace(0, 1, points)
    folds = [np.interp(grid, c.false_positives / c.negatives, c.true_positives / c.positives)
             for c in curves if not c.one_class]
    if not folds:
        return grid, np.full(points, np.nan), np.full(points, np.nan)
    stacked = np.stack(folds)  # (folds, points)
    sd = stacked.std(axis=0, ddof=1) if len(folds) > 1 else np.zeros(points)
    return grid, stacked.mean(axis=0), sd
