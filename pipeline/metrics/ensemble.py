"""Ensemble selection with replacement: which models, how often each, so that their mean ranks validation cases best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.roc import auroc, checked

MOST = 100  # models in the ensemble, each addition counted
_DIGITS = 9  # scores are written with six: what differs in the tenth is the order of a sum, and a tie


class Selected(NamedTuple):
    """How often each model was taken, the area of their mean, and the additions with the area after each."""

    counts: list[int]
    area: float
    path: list[tuple[int, float]]


def ensemble_selection(label: ArrayLike, scores: ArrayLike, most: int = MOST) -> Selected:
    """Caruana's forward stepwise selection with replacement (ICML 2004, §2 and §2.1), by AUROC.

    Start: the best single model. Step: add the model, whether it is in the ensemble or not, whose addition makes the
    area of the mean score largest, even where that is smaller than before. Stop: after `most` models; the ensemble is
    the one with the largest area of all that were passed. Ties: among models, the first in the order given; among
    ensembles, the smallest. What the labels of other cases are plays no part.

    Args:
        label: 0 or 1, of the cases to choose on, shape (n,).
        scores: probabilities, shape (models, n).
        most: models in the largest ensemble.

    Raises:
        ValueError: a class is missing, or a score is not a number.

    Example:
        >>> ensemble_selection([1, 1, 0, 0], [[0.9, 0.2, 0.3, 0.1], [0.2, 0.9, 0.1, 0.3]]).counts
        [1, 1]
    """
    scores = np.asarray(scores, dtype=np.float64)
    label, _ = checked(label, scores[0])
    if not 0 < label.sum() < len(label):
        raise ValueError("a class is missing")
    total, path = np.zeros(scores.shape[1]), list[tuple[int, float]]()
    for _ in range(most):
        areas = [auroc(label, np.round(total + own, _DIGITS)) for own in scores]
        best = int(np.argmax(areas))
        total = total + scores[best]
        path.append((best, areas[best]))
    end = int(np.argmax([area for _, area in path]))
    counts = np.bincount([which for which, _ in path[: end + 1]], minlength=len(scores))
    return Selected(counts.tolist(), path[end][1], path)
