"""Average precision of boxes: how many of a detector's boxes are lesions, over all of its thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.metrics.froc import FOUND, outcomes
from pipeline.metrics.roc import Array

RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's
_LITTLE = 1e-9  # 7 of 10 lesions reach a recall of 0.70, whatever the last digit


def matched(boxes: ArrayLike, lesions: ArrayLike, iou: float = 0.1) -> tuple[NDArray[np.int64], Array]:
    """What each of a volume's boxes is, as `pipeline.metrics.froc.outcomes` says it, and its overlap with a lesion.

    A box hits a lesion where their intersection over union is `iou` or more; from the highest score down, it finds the
    one of those that are left which it overlaps most.

    Args:
        boxes: `(n, 6)`, first and last edges along x, y and z (`x0 y0 z0 x1 y1 z1`), from the highest score.
        lesions: `(m, 6)`, likewise.
        iou: from which a box hits.

    Returns:
        outcomes `(n,)`, and the largest overlap of each box with any lesion, `(n,)`.
    """
    boxes, lesions = (np.asarray(each, dtype=np.float64).reshape(-1, 6) for each in (boxes, lesions))
    overlap = overlaps(boxes, lesions)
    return outcomes(overlap >= iou, -overlap), overlap.max(axis=1, initial=0.0)


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union of boxes `(n, 6)` with others `(m, 6)`, `(n, m)`."""
    inner = (np.minimum(boxes[:, None, 3:], others[None, :, 3:])
             - np.maximum(boxes[:, None, :3], others[None, :, :3])).clip(0).prod(axis=2)
    sizes = [(each[:, 3:] - each[:, :3]).prod(axis=1) for each in (boxes, others)]
    return np.asarray(inner / (sizes[0][:, None] + sizes[1] - inner))


class AveragePrecision:
    """The mean of a detector's precision over recalls of 0, 0.01 … 1, for many weightings of volumes at once.

    Precision at a recall is the highest at that recall or a greater one, 0 where it is not reached: COCO's definition.
    A box that finds no lesion, or one that another box has found, is wrong.

    Args:
        scores: of each volume's boxes of one class.
        results: their outcomes (`matched`).
        lesions: number of lesions of that class in each volume.
        row: the row of the weights that each volume belongs to; None where they are the rows.
    """

    def __init__(self, scores: Sequence[ArrayLike], results: Sequence[ArrayLike], lesions: ArrayLike,
                 row: ArrayLike | None = None) -> None:
        self.lesions = np.asarray(lesions, dtype=np.float64)
        self.row = np.arange(len(self.lesions)) if row is None else np.asarray(row, dtype=np.int64)
        score = np.concatenate([np.zeros(0), *(np.asarray(s, dtype=np.float64) for s in scores)])
        result = np.concatenate([np.zeros(0, int), *(np.asarray(r, dtype=int) for r in results)])
        if not np.isfinite(score).all():
            raise ValueError("a score is not a finite number")
        order = np.argsort(-score, kind="stable")
        owner = np.repeat(self.row, [len(np.asarray(s)) for s in scores])
        self.owner, self.found = owner[order], (result == FOUND)[order]

    def __call__(self, weight: Array) -> Array:
        """Average precisions under weights `(chunk, n)`: `(chunk,)`, NaN where no lesion has weight."""
        lesions = weight[:, self.row] @ self.lesions
        return np.array([self._one(w[self.owner], total) for w, total in zip(weight, lesions, strict=True)])

    def _one(self, weight: Array, lesions: float) -> float:
        if not lesions > 0:
            return float("nan")
        found, all_ = np.cumsum(weight * self.found), np.cumsum(weight)
        with np.errstate(invalid="ignore"):
            precision = np.where(all_ > 0, found / all_, 0.0)
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # the last: a recall that is not reached
        return float(best[np.searchsorted(found / lesions + _LITTLE, RECALLS, side="left")].mean())
