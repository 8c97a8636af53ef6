"""The 3D ResNet18 of the multi-scale curriculum paper (§3.1, Fig. 1)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from pipeline.networks.checkpoint import strict

WIDTHS = (18, 18, 36, 72, 144)  # C1 … C5


class ResidualBlock(nn.Module):
    """conv3 – norm – LReLU – conv3 – norm, plus the shortcut, then LReLU.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: stride of the first convolution, on all axes.
        project: a 1×1×1 convolution and norm on the shortcut.
        bias: of the convolutions.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, project: bool = False, bias: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=bias)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=bias)
        self.norm = nn.InstanceNorm3d(outputs)
        self.activation = nn.LeakyReLU(0.01, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(
                nn.Conv3d(inputs, outputs, 1, stride, bias=bias), nn.InstanceNorm3d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.activation(self.norm(self.conv1(x)))
        y = self.norm(self.conv2(y))
        return self.activation(y + self.shortcut(x))


def stages(in_channels: int, widths: Sequence[int] = WIDTHS, bias: bool = False,
           pooled: bool = True) -> list[list[nn.Module]]:
    """Layers of C1 … C5, with strides along (z, y, x): what the classifier and the detectors (§3.2) are built on.

    Args:
        in_channels: contrasts, or channels of what comes before.
        widths: channels of C1 … C5.
        bias: of the convolutions. They do nothing before a norm, and count among the detectors' parameters.
        pooled: C3 begins with a pool, as here; otherwise with a stride of 2 on all axes, as in the detectors.
    """
    c1, c2, c3, c4, c5 = widths

    def blocks(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        return [ResidualBlock(inputs, outputs, stride, True, bias), ResidualBlock(outputs, outputs, bias=bias)]

    def pool() -> nn.Module:
        return nn.MaxPool3d(3, stride=(1, 2, 2), padding=1)

    stem = nn.Conv3d(in_channels, c1, 7, (1, 2, 2), 3, bias=bias)
    return [  # shapes for one 256×256×32 breast, as (C, Z, Y, X)
        [stem, nn.InstanceNorm3d(c1), nn.LeakyReLU(0.01, inplace=True)],  # C1: 18×32×128×128
        [pool(), *blocks(c1, c2, 1)],  # C2: 18×32×64×64
        [pool(), *blocks(c2, c3, 1)] if pooled else blocks(c2, c3, 2),  # C3: 36×32×32×32, or 36×16×32×32
        blocks(c3, c4, 2),  # C4: 72×16×16×16, or 72×8×16×16
        blocks(c4, c5, 2),  # C5: 144×8×8×8, or 144×4×8×8
    ]


class CurriculumResNet(nn.Module):
    """Classifies a lesion patch (stage 1) or a whole breast (stage 2).

    The network takes public tensors `(B, C, X, Y, Z)`, slices last, and works slices first inside: give it views
    of memory in the order `(B, C, Z, Y, X)`, as the prepared arrays lie, and nothing is copied. Instance norm
    is not affine and convolutions carry no bias. Both average pools of the paper compose to one global mean,
    whatever the input size, so a stage-1 state dict fits stage 2. 2,658,170 parameters with 6 channels, 2 classes.

    Args:
        in_channels: contrasts.
        num_classes: classes.
    """

    def __init__(self, in_channels: int = 6, num_classes: int = 2) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*itertools.chain(*stages(in_channels)))
        self.classifier = nn.Conv3d(WIDTHS[-1], num_classes, 1)
        self.reset(self.backbone)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        strict(self)

    @staticmethod
    def reset(module: nn.Module) -> None:
        """Initialise as the paper's authors do: Kaiming uniform over the fan-out, gain √2.

        The classifier starts at zero (a deviation): its fan-out of 2 would start training from logits of ±12, which
        a rate of 1e-5 does not undo, and a random direction spoils the features that stage 2 takes over from stage 1.
        """
        for layer in module.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_uniform_(layer.weight, a=0.0, mode="fan_out", nonlinearity="relu")

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """C5: `(B, C, X, Y, Z)` to `(B, 144, Z/4, Y/32, X/32)`, slices first."""
        x = image.permute(0, 1, 4, 3, 2).contiguous(memory_format=torch.channels_last_3d)
        return self.backbone(x)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits `(B, num_classes)` of `(B, C, X, Y, Z)`."""
        pooled = self.features(image).mean(dim=(2, 3, 4), keepdim=True)
        return self.classifier(pooled).flatten(1)

    @torch.jit.export
    def activation_map(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and their class activation maps (paper, Fig. 3).

        The head is linear in the mean of C5, so the map is exact: its mean over the grid is the logit.

        Returns:
            logits `(B, num_classes)` and maps `(B, num_classes, X/32, Y/32, Z/4)` on C5's grid.
        """
        maps = self.classifier(self.features(image))
        return maps.mean(dim=(2, 3, 4)), maps.permute(0, 1, 4, 3, 2)
