"""Features of boxes, cut out of a feature map or of a pyramid of them by trilinear interpolation (RoIAlign)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F

from pipeline.networks.detection.anchors import LEVELS, SIDES, STRIDES


def roi_align(features: torch.Tensor, boxes: torch.Tensor, bins: Sequence[int],
              stride: Sequence[int] = (1, 1, 1)) -> torch.Tensor:
    """One value for each bin of each box: that of the features at the bin's middle.

    Cell (i, j, k) of the features is taken to lie on the middle of voxel (stride · i, …), as that of `anchors`; beyond
    the outermost cells' middles, features go on as they are there.

    Args:
        features: of one image `(C, Z, Y, X)`, slices first.
        boxes: `(N, 6)` in voxels of the image.
        bins: along x, y and z.
        stride: voxels a cell, along x, y and z.

    Returns:
        `(N, C, bins z, bins y, bins x)`, float32.
    """
    count, cells = len(boxes), features.shape[:0:-1]  # along x, y and z
    axes = []
    for axis in range(3):
        lower, upper = boxes[:, axis, None].float(), boxes[:, axis + 3, None].float()
        middles = (torch.arange(bins[axis], device=boxes.device) + 0.5) / bins[axis]
        cell = (lower + (upper - lower) * middles - 0.5) / stride[axis]
        axes.append((2 * cell + 1) / cells[axis] - 1)  # from -1 to 1 over the outer edges of the cells
    x, y, z = axes
    shape = (count, bins[2], bins[1], bins[0])
    grid = torch.stack([x[:, None, None, :].expand(shape), y[:, None, :, None].expand(shape),
                        z[:, :, None, None].expand(shape)], dim=-1)
    cut = F.grid_sample(features[None].float(), grid.reshape(1, count * bins[2], bins[1], bins[0], 3),
                        padding_mode="border", align_corners=False)
    return cut[0].unflatten(1, (count, bins[2])).transpose(0, 1)


def level_of(boxes: torch.Tensor) -> torch.Tensor:
    """The level of the pyramid that each box is cut out of `(N,)`, 0 for P2: that whose anchors are of its size."""
    sides = boxes[:, 3:5] - boxes[:, :2]
    doublings = torch.log2((sides[:, 0] * sides[:, 1]).sqrt() / SIDES["P2"][0])
    return doublings.round().clamp(0, len(LEVELS) - 1).long()


def pyramid_roi_align(pyramid: Mapping[str, torch.Tensor], boxes: Sequence[torch.Tensor],
                      bins: Sequence[int]) -> torch.Tensor:
    """Features of the boxes of all images, each from the level of its size.

    Args:
        pyramid: `P2` … `P5`, each `(B, C, Z, Y, X)`.
        boxes: of every image `(N, 6)`.
        bins: along x, y and z.

    Returns:
        `(ΣN, C, bins z, bins y, bins x)`, in the order of the boxes.
    """
    cuts, places = [], []
    start = 0
    for image, own in enumerate(boxes):
        levels = level_of(own)
        for number, level in enumerate(LEVELS):
            there = (levels == number).nonzero()[:, 0]
            if len(there):
                cuts.append(roi_align(pyramid[level][image], own[there], bins, STRIDES[level]))
                places.append(there + start)
        start += len(own)
    if not cuts:
        return pyramid["P2"].new_zeros((0, pyramid["P2"].shape[1], *reversed(bins)), dtype=torch.float32)
    return torch.cat(cuts)[torch.argsort(torch.cat(places))]
