"""Anchors: the boxes that each cell of the feature pyramid starts from.

Not by MONAI's `AnchorGenerator`: that rounds half sides (5.66 × 11.3 × 2.52 voxels become 6 × 12 × 2, and depths of 2
and 2.52 are the same then).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

LEVELS = ("P2", "P3", "P4", "P5")
STRIDES = {"P2": (4, 4, 1), "P3": (8, 8, 2), "P4": (16, 16, 4), "P5": (32, 32, 8)}  # voxels a cell, (x, y, z)
SIDES = {"P2": (8.0, 2.0), "P3": (16.0, 4.0), "P4": (32.0, 8.0), "P5": (64.0, 16.0)}  # voxels in plane, along z
RATIOS = (0.5, 1.0, 2.0)  # of the sides in plane
RETINA_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))  # three sizes a level, as the one-stage detector's paper has them


def shapes(level: str, scales: Sequence[float] = (1.0,)) -> torch.Tensor:
    """Sides of a level's anchors in voxels `(ratios × scales, 3)`; the ratio leaves their area in plane as it is."""
    plane, depth = SIDES[level]
    return torch.tensor([(plane * scale * ratio**-0.5, plane * scale * ratio**0.5, depth * scale)
                         for ratio in RATIOS for scale in scales])


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)  # what is kept serves training too
def anchors(size: tuple[int, ...], scales: tuple[float, ...] = (1.0,)) -> torch.Tensor:
    """All anchors of an image `(X, Y, Z)`: `(N, 6)`, level by level, in the order of the pyramid's memory.

    Within a level z changes slowest, then y, then x, then the shape. Cell (i, j, k) lies on the middle of voxel
    (stride · i, …), which the convolutions with stride 2 centre it on. The same tensor is returned each time: it is for
    reading.
    """
    every = []
    for level in LEVELS:
        middles = [torch.arange(0, n, stride) + 0.5 for n, stride in zip(size, STRIDES[level], strict=True)]
        z, y, x = torch.meshgrid(*reversed(middles), indexing="ij")
        middle = torch.stack([x, y, z], dim=-1).reshape(-1, 1, 3)
        half = shapes(level, scales) / 2
        every.append(torch.cat([middle - half, middle + half], dim=-1).reshape(-1, 6))
    return torch.cat(every)
