"""Maps of a network's cells, or of windows, enlarged linearly to voxels."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def enlarged(maps: torch.Tensor, size: Sequence[int], strides: Sequence[int]) -> torch.Tensor:
    """Maps of a network's last layer at every voxel of its input.

    Every strided layer keeps voxel 0, so cell i of an axis is centred on voxel i·stride.

    Args:
        maps: `(B, C, …)`, a cell each.
        size: voxels of the input along the axes behind C.
        strides: voxels a cell along them.

    Returns:
        `(B, C, *size)`; beyond the last cell's centre its value.
    """
    for axis, (voxels, step) in enumerate(zip(size, strides, strict=True), start=2):
        maps = between(maps, axis, torch.arange(voxels, device=maps.device) / step)
    return maps


def between(maps: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """A map at places along one axis, linear between its cells; beyond the first and the last the border's value.

    Args:
        maps: any shape.
        axis: the axis.
        places: `(n,)`, in cells; 0 is the first cell's centre.

    Returns:
        the same shape, but n along the axis.
    """
    last = maps.shape[axis] - 1
    places = places.clamp(0, last)
    low = places.long()
    weight = (places - low).reshape([-1 if i == axis else 1 for i in range(maps.ndim)])
    return torch.lerp(maps.index_select(axis, low), maps.index_select(axis, (low + 1).clamp(max=last)), weight)
