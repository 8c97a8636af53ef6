"""Patient-clustered bootstrap: how much a result would move with other patients.

Both breasts of a patient, and all of her exams, are drawn together. A draw of P patients with replacement is
a weight for each patient, how often she was drawn; every statistic here takes such weights, so that nothing
is sorted or copied per replicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from pipeline.metrics.roc import Array, checked

Statistic = Callable[[NDArray[np.float64]], Array]
_CHUNK = 2**21  # weights held at a time (16 MB): replicates × rows
LEAST_DEFINED = 0.9  # an interval is given where at least this share of the replicates has both classes


class Auroc:
    """The AUROC of weighted breasts, for many weightings at once.

    Σ w⁺ᵢ (W⁻(below xᵢ) + ½ W⁻(equal to xᵢ)) / (W⁺ W⁻), where W⁻ comes from cumulative sums over the
    negatives, sorted once.

    Args:
        label: 0 or 1, shape (n,).
        score: shape (n,).
    """

    def __init__(self, label: ArrayLike, score: ArrayLike) -> None:
        label, score = checked(label, score)
        negative = np.flatnonzero(label == 0)
        self.negative = negative[np.argsort(score[negative], kind="stable")]
        self.positive = np.flatnonzero(label == 1)
        ranked = score[self.negative]
        # How many negatives lie below each positive, and how many below or equal to it.
        self.below = np.searchsorted(ranked, score[self.positive], side="left")
        self.upto = np.searchsorted(ranked, score[self.positive], side="right")

    def __call__(self, weight: Array) -> Array:
        """Areas under weights of shape (chunk, n): shape (chunk,), NaN where a class has no weight."""
        positive = weight[:, self.positive]
        total = np.zeros((len(weight), len(self.negative) + 1))
        np.cumsum(weight[:, self.negative], axis=1, out=total[:, 1:])
        lower = total[:, self.below]
        lower += total[:, self.upto]
        pairs = positive.sum(axis=1) * total[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return 0.5 * np.einsum("ij,ij->i", positive, lower) / pairs


class Weighted:
    """A statistic of rows that count by a weight of their own, beside how often their patients are drawn.

    Args:
        statistic: of weights.
        weight: shape (n,); 0 leaves a row out.
    """

    def __init__(self, statistic: Statistic, weight: ArrayLike) -> None:
        self.statistic, self.weight = statistic, np.asarray(weight, dtype=np.float64)

    def __call__(self, weight: Array) -> Array:
        """As the statistic."""
        return self.statistic(weight * self.weight)


class Shares:
    """k weighted means over parts of the breasts: Σ w · value / Σ w, over the rows where `where` holds.

    Accuracy is the mean of `correct` over all rows, sensitivity over the malignant ones, specificity over the
    others.

    Args:
        value: shape (n, k).
        where: 0 or 1, shape (n, k).
    """

    def __init__(self, value: ArrayLike, where: ArrayLike) -> None:
        where = np.asarray(where, dtype=np.float64)
        self.count = where.shape[1]
        self.columns = np.concatenate([np.asarray(value, dtype=np.float64) * where, where], axis=1)  # (n, 2k)

    def __call__(self, weight: Array) -> Array:
        """Means under weights of shape (chunk, n): shape (chunk, k), NaN where no row has weight."""
        sums = weight @ self.columns
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums[:, : self.count] / sums[:, self.count :]


class Medians:
    """The weighted median of values of which a row may have none, one or several.

    With whole weights it is the median of each value repeated as often as its row was drawn.

    Args:
        value: shape (m,); infinite where something was not found at all.
        row: the row of each value, shape (m,).
    """

    def __init__(self, value: ArrayLike, row: ArrayLike) -> None:
        value = np.asarray(value, dtype=np.float64)
        order = np.argsort(value, kind="stable")
        self.value = np.append(value[order], np.nan)  # the last: where nothing has weight
        self.row = np.asarray(row, dtype=np.int64)[order]

    def __call__(self, weight: Array) -> Array:
        """Medians under weights of shape (chunk, n): shape (chunk, 1), NaN where no value has weight."""
        total = np.cumsum(weight[:, self.row], axis=1)
        half = total[:, -1:] / 2 if len(self.row) else np.zeros((len(weight), 1))
        lower, upper = (total < half).sum(axis=1), (total <= half).sum(axis=1)
        lower[upper == len(self.row)] = len(self.row)
        return (0.5 * (self.value[lower] + self.value[upper]))[:, None]


def replicates(
    patient: ArrayLike, statistics: Sequence[Statistic], count: int = 2000, seed: int | Sequence[int] = 0
) -> list[Array]:
    """Bootstrap replicates of several statistics of the same breasts under the same draws, to be paired.

    Args:
        patient: whose breast each row is, shape (n,).
        statistics: functions of weights (chunk, n), such as `Auroc` and `Shares`.
        count: number of replicates.
        seed: seed of the draws.

    Returns:
        For each statistic an array of shape (count, ...).
    """
    members, rows = np.unique(np.asarray(patient), return_inverse=True)
    size = len(members)
    random = np.random.default_rng(seed)
    chunk = max(min(_CHUNK // len(rows), count), 1)
    parts: list[list[Array]] = [[] for _ in statistics]
    # Products this thin are up to 50 times slower on several BLAS threads than on one.
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, count, chunk):
            number = min(chunk, count - start)
            drawn = random.integers(0, size, (number, size))
            drawn += np.arange(number)[:, None] * size  # each replicate counts in its own range
            times = np.bincount(drawn.ravel(), minlength=number * size).reshape(number, size)
            weight = times.astype(np.float64)[:, rows]  # (number, n)
            for part, statistic in zip(parts, statistics, strict=True):
                part.append(statistic(weight))
    return [np.concatenate(part) for part in parts]


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of replicates, shape (count,).

    Replicates in which a class is missing are NaN and left out; where they are more than one in ten, what
    remains says little and the interval is (NaN, NaN).
    """
    values = np.asarray(values, dtype=np.float64)
    defined = values[np.isfinite(values)]
    if not len(defined) or len(defined) < LEAST_DEFINED * len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(differences: ArrayLike) -> float:
    """Two-sided p of replicates of a difference: 2 min(#(Δ ≤ 0) + 1, #(Δ ≥ 0) + 1) / (count + 1), at most 1.

    NaN where `interval` has none. It cannot be below 2 / (count + 1).
    """
    values = np.asarray(differences, dtype=np.float64)
    defined = values[np.isfinite(values)]
    if not len(defined) or len(defined) < LEAST_DEFINED * len(values):
        return float("nan")
    tail = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0)) + 1
    return float(min(2 * tail / (len(defined) + 1), 1.0))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's correction for several tests: the i-th smallest of k is multiplied by k − i + 1, kept in order.

    Args:
        p: uncorrected p values; a NaN is no test and stays.

    Returns:
        Corrected p values in the order given.
    """
    values = np.asarray(p, dtype=np.float64)
    corrected = values.copy()
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1)
    return corrected.tolist()
