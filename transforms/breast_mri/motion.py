"""Small motion between the phases of a dynamic series.

A patient who moves half a voxel between phases leaves a rim in every difference image, along the skin and along the
border of fat and gland, that outshines small lesions. A translation a breast and phase removes most of it.
"""

from __future__ import annotations

import numpy as np
import torch

_SAMPLES = 60_000  # voxels with the steepest gradients that an estimate uses
_LARGEST = 4.0  # voxels; a larger estimate is not small motion but a failure, and is not applied
_FEWEST = 50  # voxels that an estimate may rest on


class ShiftEstimator:
    """The translation of later phases against a first one, by least squares on the gradient (Lucas and Kanade).

    What depends on the first phase alone is worked out once. The model of a change is `a + b·intensity - g·shift`
    with the gradient g: the two first terms take up background enhancement and drift of the receiver's gain, which
    would else be read as motion.

    Args:
        fixed: `(Z, Y, X)`, the first phase.
    """

    def __init__(self, fixed: torch.Tensor) -> None:
        inner = tuple(slice(1, -1) if n > 2 else slice(None) for n in fixed.shape)
        still = fixed[inner]
        steep = torch.zeros_like(still)
        slopes = []
        for axis in (2, 1, 0):  # x, y, z
            slope = _central(fixed, axis, inner)
            slopes.append(slope.flatten())
            if axis:  # slices are thick: their gradient says where noise is, not where edges are
                steep.addcmul_(slope, slope)
        steep = steep.flatten()
        count = min(_SAMPLES, steep.numel() // 8)
        self.chosen = torch.empty(0, dtype=torch.long)
        if count < 2 * _FEWEST:
            return
        cut = torch.quantile(steep[:: max(steep.numel() // 100_000, 1)], 1 - count / steep.numel())
        chosen = torch.nonzero(steep > cut)[:, 0]
        self.fixed = still.flatten()[chosen]
        columns = [slope[chosen] for slope in slopes] + [self.fixed, torch.ones(len(chosen))]
        self.columns = torch.stack(columns, dim=1).double().numpy()
        index = np.unravel_index(chosen.numpy(), still.shape)
        whole = [i + (part.start or 0) for i, part in zip(index, inner, strict=True)]
        self.chosen = torch.from_numpy(np.ravel_multi_index(whole, fixed.shape))

    def __call__(self, moving: torch.Tensor, rounds: int = 4) -> np.ndarray:
        """Estimate robustly: voxels that take up contrast are outliers to the fit, and are left out in rounds.

        Args:
            moving: `(Z, Y, X)`, a later phase on the grid of the first.
            rounds: of leaving out what lies beyond 2.5 times the median absolute residual.

        Returns:
            `(x, y, z)` in voxels: `moving` at `p + shift` shows what the first phase shows at `p`. Zeros where
            nothing can be estimated. Beyond half a voxel it falls short: move the phase and estimate again.
        """
        if not len(self.chosen):
            return np.zeros(3)
        change = (moving.flatten()[self.chosen] - self.fixed).double().numpy()
        keep = np.ones(len(change), bool)
        answer = np.zeros(self.columns.shape[1])
        for _ in range(rounds):
            if keep.sum() < _FEWEST:
                return np.zeros(3)
            columns = self.columns[keep]
            answer = np.linalg.lstsq(columns.T @ columns, columns.T @ change[keep], rcond=1e-9)[0]
            residual = np.abs(change - self.columns @ answer)
            keep = residual <= 2.5 * max(float(np.median(residual[keep])), 1e-9)
        shift = -answer[:3] / max(1 + answer[3], 0.5)  # the moving phase's edges are as much steeper
        return shift if np.isfinite(shift).all() and np.abs(shift).max() <= _LARGEST else np.zeros(3)


def _central(image: torch.Tensor, axis: int, inner: tuple[slice, ...]) -> torch.Tensor:
    """The central difference along an axis, at the inner voxels; 0 along an axis too short for one."""
    if inner[axis] == slice(None):
        return torch.zeros_like(image[inner])
    after, before = list(inner), list(inner)
    after[axis], before[axis] = slice(2, None), slice(None, -2)
    return (image[tuple(after)] - image[tuple(before)]) / 2
