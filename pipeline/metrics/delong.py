"""DeLong's variance of AUROCs, and the paired test that follows from it.

E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988); computed from midranks in O(n log n) as X. Sun
and W. Xu, IEEE Signal Processing Letters 21 (2014). Breasts are taken as independent: where patients have
several, `pipeline.metrics.bootstrap` is the one to trust, and this one is to compare it with.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from pipeline.metrics.roc import Array, checked


def delong_covariance(label: ArrayLike, scores: ArrayLike) -> tuple[Array, Array]:
    """AUROCs of k scores of the same n breasts, and their covariance.

    With ψ(x, y) = 1, ½ or 0 as x is above, equal to or below y, V₁₀(i) = mean over negatives of ψ(xᵢ, y) and
    V₀₁(j) = mean over positives of ψ(x, yⱼ): covariance = S₁₀ / m + S₀₁ / n, S being sample covariances.
    V₁₀(i) = (rank of xᵢ among all − rank among positives) / n, and likewise V₀₁.

    Args:
        label: 0 or 1, shape (n,).
        scores: shape (k, n).

    Returns:
        The areas, shape (k,), and their covariance, shape (k, k); NaN where a class has fewer breasts than it
        takes (1 for the areas, 2 for the covariance).
    """
    rows = [checked(label, score)[1] for score in np.atleast_2d(np.asarray(scores, dtype=np.float64))]
    positive = np.asarray(label) == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return np.full(len(rows), np.nan), np.full((len(rows), len(rows)), np.nan)
    v10, v01 = [], []
    for score in rows:
        ranks = rankdata(score)
        v10.append((ranks[positive] - rankdata(score[positive])) / n)
        v01.append(1 - (ranks[~positive] - rankdata(score[~positive])) / m)
    areas = np.mean(v10, axis=1)
    if m < 2 or n < 2:
        return areas, np.full((len(rows), len(rows)), np.nan)
    return areas, np.atleast_2d(np.cov(v10)) / m + np.atleast_2d(np.cov(v01)) / n


def delong_variance(label: ArrayLike, score: ArrayLike) -> tuple[float, float]:
    """The AUROC of one score, and its variance."""
    areas, covariance = delong_covariance(label, np.atleast_2d(np.asarray(score)))
    return float(areas[0]), float(covariance[0, 0])


def delong_test(label: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """The paired test of two scores of the same breasts.

    Args:
        label: 0 or 1, shape (n,).
        first, second: scores, shape (n,).

    Returns:
        The difference of the areas (first − second), its variance, and the two-sided p.
    """
    areas, cov = delong_covariance(label, np.stack([np.asarray(first), np.asarray(second)]))
    difference = float(areas[0] - areas[1])
    variance = max(float(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]), 0.0) if np.isfinite(cov).all() else math.nan
    return difference, variance, z_test(difference, variance)


def z_test(difference: float, variance: float) -> float:
    """Two-sided p of a difference under a normal distribution: 2 Φ(−|difference| / √variance).

    Without variance it is 1 where there is no difference and NaN where there is one.
    """
    if not variance > 0:
        return 1.0 if variance == 0 and difference == 0 else math.nan
    return math.erfc(abs(difference) / math.sqrt(2 * variance))
