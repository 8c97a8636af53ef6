"""The curriculum's network as one writes it first: PyTorch's default memory order, slices last."""

from __future__ import annotations

import torch
from torch import nn


class PlainBlock(nn.Module):
    """The residual block as one writes it first."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm = nn.InstanceNorm3d(outputs)
        self.activation = nn.LeakyReLU(0.01, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if project:
            conv = nn.Conv3d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.InstanceNorm3d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv2(self.activation(self.norm(self.conv1(x)))))
        return self.activation(y + self.shortcut(x))


class PlainNetwork(nn.Module):
    """The paper's network on contiguous `(B, C, X, Y, Z)`: slices last, as MONAI's transforms give it."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        halve = {"kernel_size": 3, "stride": (2, 2, 1), "padding": 1}
        self.backbone = nn.Sequential(
            nn.Conv3d(in_channels, 18, 7, (2, 2, 1), 3, bias=False),
            nn.InstanceNorm3d(18),
            nn.LeakyReLU(0.01, inplace=True),
            nn.MaxPool3d(**halve),
            PlainBlock(18, 18, project=True),
            PlainBlock(18, 18),
            nn.MaxPool3d(**halve),
            PlainBlock(18, 36, project=True),
            PlainBlock(36, 36),
            PlainBlock(36, 72, 2, project=True),
            PlainBlock(72, 72),
            PlainBlock(72, 144, 2, project=True),
            PlainBlock(144, 144),
        )
        self.classifier = nn.Conv3d(144, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.backbone(image).mean(dim=(2, 3, 4), keepdim=True)).flatten(1)
