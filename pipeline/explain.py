"""Heat maps: where in the breast the evidence for malignancy lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import Inferer
from torch import nn

from transforms.intensity import air_threshold


def evidence_map(network: Any, image: torch.Tensor, shifts: int = 1,
                 stride: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the exact class activation map for malignant against benign (multi-scale curriculum, Fig. 3).

    One cell of C5 spans `stride` voxels in plane. With `shifts` > 1 the breast is also shown moved by parts of a
    cell, and the maps, moved back, are averaged: a finer map from the same network.

    Args:
        network: has `activation_map(image) -> logits, maps`.
        image: `(B, C, X, Y, Z)`.
        shifts: positions a in-plane axis; `shifts`² forward passes.
        stride: voxels a cell in plane.

    Returns:
        logits `(B, 2)` of the unmoved image and the map `(B, 1, X, Y, Z)`: malignant minus benign evidence. On
        C5's own grid its mean is exactly the difference of the logits; enlarged, the border weighs differently.
    """
    size = image.shape[2:]
    logits: torch.Tensor | None = None
    total = torch.zeros((image.shape[0], 1, *size), device=image.device)
    steps = [round(i * stride / shifts) for i in range(shifts)]
    for dx in steps:
        for dy in steps:
            # (B, C, X, Y, Z) with zeros, which are air, let in at the low end
            moved = F.pad(image, (0, 0, dy, 0, dx, 0)) if dx or dy else image
            answer, maps = network.activation_map(moved)
            logits = answer if logits is None else logits
            grown = [s + d for s, d in zip(size, (dx, dy, 0), strict=True)]
            fine = _enlarge((maps[:, 1:] - maps[:, :1]).float(), grown, (stride, stride, 4))
            total += fine[:, :, dx : dx + size[0], dy : dy + size[1]]
    assert logits is not None
    return logits.float(), total / len(steps) ** 2


def _enlarge(maps: torch.Tensor, size: Sequence[int], strides: Sequence[int]) -> torch.Tensor:
    """Linear between cells; every strided layer keeps voxel 0, so cell i of an axis is centred on voxel i·stride."""
    for axis, (voxels, step) in enumerate(zip(size, strides, strict=True), start=2):
        last = maps.shape[axis] - 1
        at = (torch.arange(voxels, device=maps.device) / step).clamp(max=last)
        low = at.long()
        weight = (at - low).reshape([-1 if d == axis else 1 for d in range(5)])
        maps = torch.lerp(maps.index_select(axis, low), maps.index_select(axis, (low + 1).clamp(max=last)), weight)
    return maps


def heat(logits: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
    """A map in 0–1 whose peak is the breast's probability of malignancy.

    `p · max(e, 0) / max(e)`, with `e` the evidence `(B, 1, X, Y, Z)` and `p` the softmax of `logits` `(B, 2)`.
    """
    positive = evidence.clamp(min=0)
    peak = positive.amax(dim=(1, 2, 3, 4), keepdim=True).clamp(min=1e-6)
    return logits.softmax(dim=1)[:, 1].reshape(-1, 1, 1, 1, 1) * positive / peak


def body_mask(image: torch.Tensor, channel: int = 0) -> torch.Tensor:
    """Where there is tissue: `(B, C, X, Y, Z)` to 0 or 1 `(B, 1, X, Y, Z)`, from one channel, smoothed in plane."""
    plane = F.avg_pool3d(image[:, channel : channel + 1].float(), (5, 5, 1), stride=1, padding=(2, 2, 0))
    cuts = [air_threshold(single.cpu().numpy()) for single in plane]
    return (plane > torch.tensor(cuts, device=image.device).reshape(-1, 1, 1, 1, 1)).float()


class ActivationMapInferer(Inferer):
    """Logits and heat maps of whole breasts in one pass.

    Takes `(B, C, X, Y, Z)`, or exams of several breasts `(B, S, C, X, Y, Z)`. Returns a dictionary of plain tensors
    (MONAI Label merges it into its data): `logits` `(B[, S], 2)` and `heatmap` `(B[, S], X, Y, Z)`.

    Args:
        shifts: see `evidence_map`.
        body_channel: a channel that shows the body's outline: air is no place for evidence and stays cold. None
            leaves the map as it is.
    """

    def __init__(self, shifts: int = 1, body_channel: int | None = 0) -> None:
        self.shifts = int(shifts)
        self.body_channel = body_channel

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        lead, single = inputs.shape[:-4], inputs.flatten(0, -5)
        network.eval()
        with torch.no_grad():
            parts = [self._one(breast[None], network) for breast in single]
        logits = torch.cat([logits for logits, _ in parts])
        maps = torch.cat([part for _, part in parts])
        return {"logits": logits.reshape(*lead, -1), "heatmap": maps.reshape(*lead, *maps.shape[1:])}

    def _one(self, image: torch.Tensor, network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `(1, 2)` and heat `(1, X, Y, Z)` of one breast."""
        logits, evidence = evidence_map(network, image, self.shifts)
        if self.body_channel is not None:
            evidence = evidence.clamp(min=0) * body_mask(image, self.body_channel)
        return logits, heat(logits, evidence)[:, 0]
