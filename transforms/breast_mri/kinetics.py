"""The dynamic series as what it says about contrast uptake."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from transforms.errors import InputError


class KineticChannels(Transform):
    """Baseline, wash-in and delayed changes instead of five phases that look nearly alike.

    The phases share most of their signal (anatomy), and what tells lesions apart, their wash-out, is a difference of
    a few per cent between them. Instance norm would scale every filter by the anatomy. This is the fixed, invertible
    linear map

    * `pre` → `gains[0]` · pre
    * `post1` → `gains[1]` · (post1 − pre): the initial phase of the BI-RADS lexicon
    * `post2` … → `gains[2]` · (postk − post1): its delayed phase
    * every other contrast (T2) → `gains[3]` times itself

    followed by a clip, so that vessels do not outshine the rest. Contrasts that the map needs and that are missing
    leave the others as they are.

    Args:
        channels: contrasts of the image's channels, in order.
        gains: see above; the default makes the kinetic channels' tissue spread the largest.
        limit: values are clipped to ±limit.
    """

    def __init__(self, channels: Sequence[str], gains: Sequence[float] = (0.2, 3.0, 8.0, 0.2),
                 limit: float = 8.0) -> None:
        if len(gains) != 4:
            raise InputError(f"gains {list(gains)}: four numbers are needed: pre, wash-in, delayed change, other")
        self.channels = tuple(channels)
        self.gains = tuple(float(g) for g in gains)
        self.limit = float(limit)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Map one image.

        Args:
            image: `(…, C, X, Y, Z)`, in units of tissue intensity.

        Returns:
            the same shape and memory order; meta data is kept.
        """
        if image.shape[-4] != len(self.channels):
            raise InputError(f"the image has {image.shape[-4]} channels, {len(self.channels)} expected: "
                             f"{', '.join(self.channels)}; prepare it with the same channels")
        at = {name: i for i, name in enumerate(self.channels)}
        result = image.clone()
        for name, i in at.items():
            if name == "post1" and "pre" in at:
                base, gain = at["pre"], self.gains[1]
            elif name.startswith("post") and name != "post1" and "post1" in at:
                base, gain = at["post1"], self.gains[2]
            else:
                result.select(-4, i).mul_(self.gains[0] if name == "pre" else self.gains[3])
                continue
            result.select(-4, i).sub_(image.select(-4, base)).mul_(gain)
        return result.clamp_(-self.limit, self.limit)


class KineticChannelsd(MapTransform):
    """Dictionary version of `KineticChannels`."""

    def __init__(self, keys: KeysCollection, channels: Sequence[str],
                 gains: Sequence[float] = (0.2, 3.0, 8.0, 0.2), limit: float = 8.0,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.map = KineticChannels(channels, gains, limit)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            try:
                result[key] = self.map(result[key])
            except InputError as error:
                file = f"{result['exam_id']}_{result['side']}.npy: " if {"exam_id", "side"} <= result.keys() else ""
                raise InputError(f"{file}{error}", code=error.code) from None
        return result
