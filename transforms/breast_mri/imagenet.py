"""Patches as networks want them that were trained on photographs (contrast transfer, §2.2–2.3)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from transforms.errors import InputError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


class ImageNetInput(Transform):
    """Fixed range to 0–1, resize, and ImageNet's mean and deviation, channel by channel.

    A subset of three contrasts takes the places of red, green and blue; with other numbers the three means (and
    deviations) go round.

    Args:
        channels: contrasts of the image.
        size: voxels an axis of the result; paper: 224.
        top: value that becomes 1; 1 is the mean of tissue. Below 0 becomes 0.
        sub_range: values of `sub` that become 0 and 1: it is signed.
    """

    def __init__(self, channels: Sequence[str], size: int = 224, top: float = 3.0,
                 sub_range: Sequence[float] = (-0.5, 1.5)) -> None:
        if size < 8 or top <= 0 or sub_range[1] <= sub_range[0]:
            raise InputError(f"size {size} must be at least 8, top {top} above 0, sub_range {list(sub_range)} ascend")
        ranges = [tuple(sub_range) if name == "sub" else (0.0, top) for name in channels]
        self.low, self.high = (torch.tensor(ends)[:, None, None] for ends in zip(*ranges, strict=True))
        three = [i % 3 for i in range(len(channels))]
        self.mean = torch.tensor([MEAN[i] for i in three])[:, None, None]
        self.deviation = torch.tensor([DEVIATION[i] for i in three])[:, None, None]
        self.size = int(size)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """`(C, Y, X)` or `(N, C, Y, X)` to the same with `size` rows and columns."""
        scaled = ((image - self.low) / (self.high - self.low)).clamp(0, 1)
        single = scaled if scaled.ndim == 4 else scaled[None]
        large = F.interpolate(single, size=(self.size, self.size), mode="bilinear", align_corners=False)
        result = (large - self.mean) / self.deviation
        return result if scaled.ndim == 4 else result[0]


class ImageNetInputd(MapTransform):
    """Dictionary version of `ImageNetInput`."""

    def __init__(self, keys: KeysCollection, channels: Sequence[str], size: int = 224, top: float = 3.0,
                 sub_range: Sequence[float] = (-0.5, 1.5), allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.change = ImageNetInput(channels, size, top, sub_range)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.change(result[key])
        return result
