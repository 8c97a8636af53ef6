"""Uniform cubic B-splines on a line; on a grid they are products of lines, applied an axis at a time.

A line of `spans` polynomial pieces has `spans + 3` control points; control point i is centred on position i - 1, in
spans from the line's first sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

ORDER = 3


def basis(at: torch.Tensor, spans: int) -> torch.Tensor:
    """Weights of the control points at positions on the line.

    Args:
        at: `(N,)`, positions in [0, 1] along the line.
        spans: polynomial pieces.

    Returns:
        `(N, spans + 3)`; every row adds up to 1.
    """
    distance = (at[:, None] * spans - (torch.arange(spans + ORDER, device=at.device) - 1)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def refinement(spans: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """The matrix that gives the same curve with twice the spans, `(2·spans + 3, spans + 3)`.

    The two-scale relation of cubic B-splines: weights 1, 4, 6, 4, 1 over 8.
    """
    fine = torch.arange(2 * spans + ORDER, device=device) - 1
    coarse = 2 * (torch.arange(spans + ORDER, device=device) - 1)
    weights = torch.tensor([6.0, 4.0, 1.0, 0.0], device=device) / 8
    return weights[(fine[:, None] - coarse).abs().clamp(max=3)]


def along_axes(volume: torch.Tensor, matrices: Sequence[torch.Tensor]) -> torch.Tensor:
    """Multiply a volume by one matrix an axis, `out[a, b, c] = Σ m0[a, i] m1[b, j] m2[c, k] volume[i, j, k]`."""
    first, second, third = matrices
    shrink = third.shape[0] < third.shape[1]
    if shrink:  # the last axis first while the volume is large, and last where it grows
        volume = volume @ third.T
    volume = torch.matmul(second, volume)
    shape = volume.shape
    volume = (first @ volume.reshape(shape[0], -1)).reshape(-1, *shape[1:])
    return volume if shrink else volume @ third.T
