"""The holistic and the attention network: a ResNet101 with two outputs on one mammogram (paper §3.1, §4.2)."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.networks.nets import ResNet

from pipeline.errors import InputError
from pipeline.networks.imagenet_resnet import build_resnet, load_imagenet


def mammogram_resnet(layers: int = 101, channels: int = 1, weights: Path | str | None = None,
                     widen: float = 1.0) -> ResNet:
    """A ResNet for single images `(B, C, H, W)`, standardised; logits `(B, 2)`: negative, positive.

    42,497,986 parameters with 101 layers and one channel, 42,504,258 with three.

    Ours: the paper says "modified to greyscale", not how. The first layer takes the sum of the three colours' weights.
    Convolution is linear, so that the sum answers to a grey image exactly as the colour layer answers to the same
    image in all three channels, and every later layer sees what it was trained on; the mean would answer a third as
    strongly.

    Args:
        layers: 18, 34, 50 or 101; the paper's is 101, the smaller ones are for trials.
        channels: 1, or 3 for the image repeated.
        weights: ImageNet's, a checkpoint file in torchvision's naming; `resnet101` to fetch it (or take it from torch's
            cache); None for random weights. The last layer stays random.
        widen: factor of every layer's channels; the paper's is 1. ImageNet's weights need 1.

    Raises:
        InputError: a setting that does not exist, no such file, not what its name says, or of another network.
    """
    if channels not in (1, 3):
        raise InputError(f"channels is {channels}; a mammogram has 1, or 3 where it is repeated")
    network = build_resnet(layers, channels, 2, widen)
    if weights is not None:
        load_imagenet(network, layers, weights, grey=channels == 1)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def risk_score(logits: torch.Tensor) -> torch.Tensor:
    """An image's risk of cancer, `(B, 2)` to `(B,)`: the positive less the negative logit (paper §3.1)."""
    return logits[:, 1] - logits[:, 0]
