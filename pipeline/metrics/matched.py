"""A score's sensitivity where it calls no more positives wrongly than a reader does."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pipeline.metrics.bootstrap import Auroc
from pipeline.metrics.roc import Array


class Matched(Auroc):
    """A score's sensitivity at a reader's specificity, and the reader's own, for many weightings at once.

    Both are of the same draw: where others are drawn, the reader's specificity is another, too. A score's is the
    highest on its curve with at most as many false positives as the reader has there.

    Args:
        label, score: as `Auroc`.
        called: whether the reader called each row positive, shape (n,).
    """

    def __init__(self, label: ArrayLike, score: ArrayLike, called: ArrayLike) -> None:
        super().__init__(label, score)
        self.called = np.asarray(called, float)

    def __call__(self, weight: Array) -> Array:
        """Sensitivities under weights (chunk, n): shape (chunk, 2), the score's and the reader's; NaN as `Auroc`."""
        negative, positive = weight[:, self.negative], weight[:, self.positive]
        total = np.zeros((len(weight), len(self.negative) + 1))
        np.cumsum(negative, axis=1, out=total[:, 1:])
        false = total[:, -1:] - total[:, self.below]  # negatives at or above each positive
        allowed = (negative * self.called[self.negative]).sum(axis=1, keepdims=True) + 1e-9
        reader = (positive * self.called[self.positive]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.stack([(positive * (false <= allowed)).sum(axis=1), reader], axis=1)
            found /= positive.sum(axis=1, keepdims=True)
        found[total[:, -1] == 0] = np.nan
        return found
