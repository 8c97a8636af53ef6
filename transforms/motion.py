"""Small motion between the phases of a dynamic series.

A patient who moves half a voxel between phases leaves a rim in every difference image, along the skin and along the
border of fat and gland, that outshines small lesions. A translation a breast and phase removes most of it.
"""

from __future__ import annotations

import numpy as np
import torch

_SAMPLES = 60_000  # voxels with the steepest gradients that an estimate uses
_LARGEST = 4.0  # voxels; a larger estimate is not small motion but a failure, and is not applied


def estimate_shift(fixed: torch.Tensor, moving: torch.Tensor, rounds: int = 4) -> np.ndarray:
    """The translation between two phases, by least squares on the gradient (Lucas and Kanade), robustly.

    Voxels that take up contrast differ for another reason; they are outliers to the fit and are left out in
    rounds, those beyond 2.5 times the median absolute residual first.

    Args:
        fixed: `(Z, Y, X)`, the first phase.
        moving: `(Z, Y, X)`, a later one on the same grid.
        rounds: of leaving out.

    Returns:
        `(x, y, z)` in voxels: `moving` at `p + shift` shows what `fixed` shows at `p`. Zeros where nothing can be
        estimated.
    """
    inner = fixed[1:-1, 1:-1, 1:-1] if fixed.shape[0] > 2 else fixed[:, 1:-1, 1:-1]
    if min(inner.shape) < 1:
        return np.zeros(3)
    deep = slice(1, -1) if fixed.shape[0] > 2 else slice(None)
    gx = (fixed[deep, 1:-1, 2:] - fixed[deep, 1:-1, :-2]) / 2
    gy = (fixed[deep, 2:, 1:-1] - fixed[deep, :-2, 1:-1]) / 2
    gz = (fixed[2:, 1:-1, 1:-1] - fixed[:-2, 1:-1, 1:-1]) / 2 if fixed.shape[0] > 2 else torch.zeros_like(inner)
    steep = (gx.square() + gy.square()).flatten()
    count = min(_SAMPLES, steep.numel() // 8)
    if count < 100:
        return np.zeros(3)
    cut = torch.quantile(steep[:: max(steep.numel() // 100_000, 1)], 1 - count / steep.numel())
    chosen = torch.nonzero(steep > cut)[:, 0]
    columns = [g.flatten()[chosen] for g in (gx, gy, gz)] + [torch.ones(len(chosen))]
    slopes = torch.stack(columns, dim=1).double().numpy()
    change = (moving - fixed)[deep, 1:-1, 1:-1].flatten()[chosen].double().numpy()
    keep = np.ones(len(change), bool)
    answer = np.zeros(4)
    for _ in range(rounds):
        if keep.sum() < 50:
            return np.zeros(3)
        answer = np.linalg.lstsq(slopes[keep], change[keep], rcond=None)[0]
        residual = np.abs(change - slopes @ answer)
        keep = residual <= 2.5 * max(float(np.median(residual[keep])), 1e-9)
    shift = -answer[:3]
    return shift if np.isfinite(shift).all() and np.abs(shift).max() <= _LARGEST else np.zeros(3)
