"""Heat maps of mammograms: where the pixels that move a view's score the most lie close together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import gaussian_1d, separable_filtering

from pipeline.explain.enlarge import between
from pipeline.explain.saliency import most_salient

SPREAD = 1 / 61  # of a side of the input: 16 of 976 pixels. Ours: the paper draws the pixels themselves


def view_map(saliency: torch.Tensor, corner: Sequence[int], shape: Sequence[int], width: int,
             probability: float) -> torch.Tensor:
    """One view's map at native resolution: how dense the most salient pixels are (§3.2, §4.2).

    Args:
        saliency: `(H, W)`, of `pipeline.explain.saliency.saliency`.
        corner: first pixel of the input in the scaled picture.
        shape: rows and columns of the picture at native resolution.
        width: columns of the scaled picture.
        probability: the map's peak.

    Returns:
        `(rows, columns)`, 0–1; 0 where the network did not look.
    """
    size = saliency.shape[-1]
    weight = gaussian_1d(torch.tensor(max(size * SPREAD, 0.5)), truncated=3.0, approx="sampled", normalize=True)
    dense = separable_filtering(most_salient(saliency[None].float().cpu())[None], [weight, weight])[0]
    dense = dense * (probability / dense.max().clamp(min=1e-12))
    scaled = (max(1, round(shape[0] * width / shape[1])), width)
    for axis in (0, 1):
        places = (torch.arange(shape[axis]) + 0.5) * (scaled[axis] / shape[axis]) - 0.5 - corner[axis]
        seen = (places > -0.5) & (places < dense.shape[1 + axis] - 0.5)
        dense = between(dense, 1 + axis, places) * (seen[:, None] if axis == 0 else seen)
    return dense[0]
