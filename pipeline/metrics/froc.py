"""FROC: how many lesions are found at how many false positives a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.metrics.roc import Array

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives a volume: LUNA16's and TDSC-ABUS's
FOUND, NEITHER, FALSE = 1, 0, -1
_BLOCK = 2**21  # numbers held at a time: replicates × candidates


def outcomes(hits: ArrayLike, distances: ArrayLike) -> NDArray[np.int64]:
    """What each candidate of a volume is: FOUND, FALSE or NEITHER.

    From the highest score down, a candidate finds the nearest of the lesions that it hits and that none before it
    has found. One that hits only lesions already found counts as neither: it points to a lesion, but to none anew.
    One that hits nothing is a false positive. Lower scores never change what higher ones are, so that one pass
    serves every threshold.

    Args:
        hits: whether a candidate hits a lesion, (n candidates from the highest score, m lesions).
        distances: of a candidate to a lesion's centre in mm, (n, m).
    """
    hits, distances = np.asarray(hits, bool), np.asarray(distances, dtype=np.float64)
    result = np.full(len(hits), FALSE)
    free = np.ones(hits.shape[1], bool)
    for i in np.flatnonzero(hits.any(axis=1)):
        open_ = np.flatnonzero(hits[i] & free)
        result[i] = FOUND if len(open_) else NEITHER
        if len(open_):
            free[open_[np.argmin(distances[i, open_])]] = False
    return result


class Froc:
    """Sensitivity at given rates of false positives, and their mean, for many weightings of volumes at once.

    Among candidates with a score of at least t: sensitivity(t) = lesions found / lesions, and rate(t) = false
    positives / volumes, healthy ones included. Between the points of two successive scores the curve is a straight
    line (which matters only where candidates of equal score are found and false), it begins at (0, 0), and goes on
    level behind its last point.

    Args:
        scores: of each volume's candidates, from the highest.
        results: their `outcomes`.
        lesions: number of lesions in each volume.
        row: the row of the weights that each volume belongs to; None where they are the rows.
        rates: false positives a volume.
    """

    def __init__(self, scores: Sequence[ArrayLike], results: Sequence[ArrayLike], lesions: ArrayLike,
                 row: ArrayLike | None = None, rates: Sequence[float] = RATES) -> None:
        self.lesions = np.asarray(lesions, dtype=np.float64)
        self.row = np.arange(len(self.lesions)) if row is None else np.asarray(row, dtype=np.int64)
        self.rates = np.asarray(rates, dtype=np.float64)
        score = np.concatenate([np.zeros(0), *(np.asarray(s, dtype=np.float64) for s in scores)])
        result = np.concatenate([np.zeros(0, int), *(np.asarray(r, dtype=int) for r in results)])
        owner = np.repeat(self.row, [len(np.asarray(s)) for s in scores])
        if not np.isfinite(score).all():
            raise ValueError("a score is not a finite number")
        order = np.flatnonzero(result != NEITHER)
        order = order[np.argsort(-score[order], kind="stable")]
        self.score, self.owner, self.found = score[order], owner[order], result[order] == FOUND
        self.last = np.flatnonzero(np.diff(self.score, append=-np.inf))  # the last candidate of each distinct score

    def curve(self) -> tuple[Array, Array, Array]:
        """Thresholds, false positives a volume and sensitivity of every point, the first at the threshold inf."""
        false, found = (np.append(0, np.cumsum(x)[self.last]) for x in (~self.found, self.found))
        with np.errstate(invalid="ignore", divide="ignore"):
            rate, sensitivity = false / len(self.row), found / self.lesions.sum()
        return np.append(np.inf, self.score[self.last]), rate, sensitivity

    def __call__(self, weight: Array) -> Array:
        """Sensitivities at the rates, then their mean: (chunk, n rows) to (chunk, rates + 1).

        NaN where no lesion has weight.
        """
        step = max(_BLOCK // max(len(self.owner), 1), 1)
        parts = [self._block(weight[start : start + step]) for start in range(0, len(weight), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.rates) + 1))

    def _block(self, weight: Array) -> Array:
        allowed = weight[:, self.row].sum(axis=1)[:, None] * self.rates  # false positives, (chunk, rates)
        lesions = weight[:, self.row] @ self.lesions
        each = weight[:, self.owner]
        false, found = (np.zeros((len(weight), len(self.last) + 1)) for _ in range(2))
        total = np.cumsum(each, axis=1)[:, self.last]
        found[:, 1:] = np.cumsum(each * self.found, axis=1)[:, self.last]
        false[:, 1:] = total - found[:, 1:]
        # The last point with no more false positives than allowed, and the one behind it.
        here = np.stack([np.searchsorted(f, a * (1 + 1e-12), side="right") - 1
                         for f, a in zip(false, allowed, strict=True)])
        there = np.minimum(here + 1, len(self.last))
        f0, f1, t0, t1 = (np.take_along_axis(x, at, axis=1) for x in (false, found) for at in (here, there))
        share = np.clip((allowed - f0) / np.where(f1 > f0, f1 - f0, np.inf), 0, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity = (t0 + share * (t1 - t0)) / lesions[:, None]
        return np.concatenate([sensitivity, sensitivity.mean(axis=1, keepdims=True)], axis=1)
