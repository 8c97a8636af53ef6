"""What is left of the best of several scores when its choice is reckoned with.

The largest of many areas is too large: of 35 alike in truth, the luckiest is looked at. Its interval and its p take the
choice into account by the bootstrap of the maximum: in each replicate the largest deviation of any score from its own
area takes the place of the best one's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from pipeline.metrics.area_interval import area_interval, score_ends
from pipeline.metrics.bootstrap import LEAST_DEFINED


class Chosen(NamedTuple):
    """The best of several: which, its interval, and p of all being alike."""

    which: int
    ends: tuple[float, float]
    p: float


def best_of(areas: ArrayLike, draws: ArrayLike, labels: Sequence[ArrayLike], level: float = 0.95) -> Chosen:
    """The best of k scores of the same rows, with what its choice costs.

    The lower end is the best area less what any of the k areas exceeds its truth by: it holds whichever is chosen, and
    however many are alike. The upper end is that of an area which nobody chose, since a choice only flatters. p: how
    often the best of k alike areas would be as far above their mean.

    Args:
        areas: means over folds, shape (k,), none of them NaN.
        draws: their replicates under the same draws, shape (k, count).
        labels: 0 or 1, of each fold.
        level: of confidence.
    """
    areas, draws = np.asarray(areas, float), np.asarray(draws, float)
    index = int(areas.argmax())
    best = float(areas[index])
    defined = draws[:, np.isfinite(draws).all(axis=0)]
    if not defined.size or defined.shape[1] < LEAST_DEFINED * draws.shape[1]:
        return Chosen(index, (float("nan"), float("nan")), float("nan"))
    above = defined - areas[:, None]
    extreme = above.max(axis=0) - above.mean(axis=0)
    p = (np.count_nonzero(extreme >= best - areas.mean()) + 1) / (defined.shape[1] + 1)
    alone, high = area_interval([best], defined[[index]], labels, level)
    if not 0 < best < 1:  # replicates of a separated set do not move: Bonferroni's level
        sizes = [(int(np.sum(label)), int(np.sum(1 - np.asarray(label)))) for label in labels]
        return Chosen(index, (score_ends(best, sizes, level=1 - (1 - level) / len(areas))[0], high), p)
    slope = np.maximum(areas * (1 - areas), best * (1 - best))[:, None]  # of the logit, as of `area_interval`
    low = expit(logit(best) - np.quantile((above / slope).max(axis=0), (1 + level) / 2))
    return Chosen(index, (min(float(low), alone), high), p)  # a choice never makes it narrower
