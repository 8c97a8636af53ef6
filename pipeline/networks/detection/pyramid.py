"""The feature pyramid that both detectors look at, on the curriculum's backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.curriculum_resnet import CurriculumResNet, stages
from pipeline.networks.detection.anchors import LEVELS


def normed(inputs: int, outputs: int) -> list[nn.Module]:
    """conv3 – norm – LReLU."""
    # Ours: instance norm as the curriculum's network has; the paper's counts do not tell which norm there was.
    return [nn.Conv3d(inputs, outputs, 3, padding=1), nn.InstanceNorm3d(outputs), nn.LeakyReLU(0.01, inplace=True)]


class Pyramid(nn.Module):
    """P2 … P5 of an image, and on request P0 at its full resolution (Lin et al. 2017; §3.2).

    Each level is a 1×1×1 convolution of the backbone's stage plus the next coarser level, enlarged, and is smoothed by
    a 3×3×3 convolution. The backbone is the curriculum's with biases, its C3 with a stride of 2 on all axes.

    P1 of a pyramid without P0, and the smoothing of P1, answer for nothing: they are parameters of the published
    networks, and counted there. Likewise the biases before a norm.

    Args:
        in_channels: contrasts.
        widths: channels of C1 … C5.
        features: channels of every level.
        full: with C0, two convolutions at full resolution before C1, and P0.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], features: int, full: bool) -> None:
        super().__init__()
        wide = widths[0] if full else in_channels
        parts = stages(wide, widths, bias=True, pooled=False)
        inputs = list(widths)
        if full:
            parts = [[*normed(in_channels, wide), *normed(wide, wide)], *parts]
            inputs = [wide, *inputs]
        self.backbone = nn.ModuleDict({f"C{6 - i}": nn.Sequential(*parts[-i]) for i in range(len(parts), 0, -1)})
        names = [f"P{6 - i}" for i in range(len(parts), 0, -1)]
        self.lateral = nn.ModuleDict({name: nn.Conv3d(n, features, 1) for name, n in zip(names, inputs, strict=True)})
        self.smooth = nn.ModuleDict({name: nn.Conv3d(features, features, 3, padding=1) for name in names})
        CurriculumResNet.reset(self.backbone)

    def forward(self, image: torch.Tensor, full: bool = False) -> dict[str, torch.Tensor]:
        """Levels by name, each `(B, features, Z/…, Y/…, X/…)`, of `(B, C, Z, Y, X)`; `P0` only where asked for."""
        seen = {}
        for name, stage in self.backbone.items():
            seen[name] = image = stage(image)
        level = self.lateral["P5"](seen["C5"])
        before = {"P5": level}
        for name, source in (("P4", "C4"), ("P3", "C3"), ("P2", "C2")):
            level = before[name] = self.lateral[name](seen[source]) + F.interpolate(level, scale_factor=2.0)
        levels = {name: self.smooth[name](before[name]) for name in LEVELS}
        if full:
            for name, source in (("P1", "C1"), ("P0", "C0")):
                finer = F.interpolate(level, scale_factor=(1.0, 2.0, 2.0), mode="trilinear")
                level = self.lateral[name](seen[source]) + finer
            levels["P0"] = self.smooth["P0"](level)
        return levels
