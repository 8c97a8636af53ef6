"""Augmentation of whole breasts and patches: mirrored in plane, rotated about the slice axis."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandRotateFlip(RandomizableTransform):
    """Rotation about z by a uniform angle, and mirroring along in-plane axes (multi-scale curriculum, §3.1).

    All contrasts and slices of an image move together, so they are resampled as channels of one 2D image with one
    sampling grid: several times faster than a 3D rotation, with the same result. Mirroring is part of the same
    sampling. Voxels from outside are 0, which is air.

    Args:
        degrees: the angle is uniform in ±degrees; paper: 15.
        flip_axes: axes (0 = x, 1 = y) that are mirrored, each with probability 1/2. The paper mirrors "all
            images" without naming axes.
        prob: probability of a rotation.
    """

    def __init__(self, degrees: float = 15.0, flip_axes: Sequence[int] = (0, 1), prob: float = 1.0) -> None:
        super().__init__(prob)
        if not set(flip_axes) <= {0, 1}:
            raise ValueError(f"flip_axes {list(flip_axes)}: only the in-plane axes 0 and 1 are mirrored")
        self.degrees = float(degrees)
        self.flip_axes = tuple(flip_axes)
        self.angle = 0.0
        self.signs: tuple[float, ...] = (1.0, 1.0)

    def randomize(self, data: Any = None) -> None:
        super().randomize(data)
        self.angle = math.radians(self.R.uniform(-self.degrees, self.degrees)) if self._do_transform else 0.0
        flips = [self.R.random_sample() < 0.5 for _ in range(2)]
        self.signs = tuple(-1.0 if axis in self.flip_axes and flips[axis] else 1.0 for axis in range(2))

    def __call__(self, image: torch.Tensor, randomize: bool = True, numbers: bool = False) -> torch.Tensor:
        """Augment one image.

        Args:
            image: `(C, X, Y, Z)`; fastest as a view of memory in the order `(C, Z, Y, X)`.
            randomize: draw a new angle and new mirrorings.
            numbers: voxels hold numbers, such as a mask's: each takes its nearest voxel's, and none that stays in the
                image is lost, however small its part.

        Returns:
            the same shape, memory in the order `(C, Z, Y, X)`.
        """
        if randomize:
            self.randomize()
        planes = image.permute(0, 3, 2, 1)  # (C, Z, Y, X)
        if self.angle == 0.0:
            dims = [3 - axis for axis in range(2) if self.signs[axis] < 0]
            return (planes.flip(dims) if dims else planes).permute(0, 3, 2, 1)
        channels, slices, height, width = planes.shape
        grid = _sampling_grid(height, width, self.angle, self.signs).to(planes.device)
        flat = planes.reshape(1, channels * slices, height, width).float()
        moved = F.grid_sample(flat, grid, mode="nearest" if numbers else "bilinear", padding_mode="zeros",
                              align_corners=True)
        moved = moved.reshape(channels, slices, height, width)
        return (_restored(moved, planes, grid[0]) if numbers else moved).permute(0, 3, 2, 1)


class RandRotateFlipd(MapTransform, RandomizableTransform):
    """Dictionary version of `RandRotateFlip`: all keys move together.

    Args:
        keys: of the images.
        degrees, flip_axes, prob: as of `RandRotateFlip`.
        numbers: those of the keys whose voxels hold numbers, such as a mask's.
    """

    def __init__(self, keys: KeysCollection, degrees: float = 15.0, flip_axes: Sequence[int] = (0, 1),
                 prob: float = 1.0, allow_missing_keys: bool = False, numbers: Sequence[str] = ()) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        self.move = RandRotateFlip(degrees, flip_axes, prob)
        self.numbers = tuple(numbers)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> RandRotateFlipd:
        super().set_random_state(seed, state)
        self.move.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        self.move.randomize()
        for key in self.key_iterator(result):
            result[key] = self.move(result[key], randomize=False, numbers=key in self.numbers)
        return result


def _restored(moved: torch.Tensor, planes: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Numbers that nearest sampling has passed over, at the pixel that lies nearest to their middle.

    Args:
        moved, planes: after and before, `(C, Z, Y, X)`.
        grid: where each pixel was read, as of `_sampling_grid`, `(Y, X, 2)`.
    """
    size = torch.tensor(planes.shape[:1:-1], dtype=torch.float32)  # X, Y
    read = (grid + 1) / 2 * (size - 1)
    before, after = (set(each.reshape(-1).long().bincount().nonzero().flatten().tolist()) for each in (planes, moved))
    for number in before - after:
        places = (planes == number).nonzero().float()  # (n, 4): c, z, y, x
        distance = (read - places[:, [3, 2]].mean(dim=0)).norm(dim=-1)
        if distance.min() < 1:  # else it has left the image
            channel, z = places[:, :2].mean(dim=0).round().int().tolist()
            y, x = divmod(int(distance.argmin()), distance.shape[1])
            moved[channel, z, y, x] = number
    return moved


def _sampling_grid(height: int, width: int, angle: float, signs: Sequence[float]) -> torch.Tensor:
    """Where each output pixel is read from, `(1, height, width, 2)` in `grid_sample`'s ±1 coordinates."""
    y = torch.arange(height, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float32) - (width - 1) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    from_x = (cos * x[None, :] - sin * y[:, None]) * signs[0]
    from_y = (sin * x[None, :] + cos * y[:, None]) * signs[1]
    scale_x, scale_y = 2 / max(width - 1, 1), 2 / max(height - 1, 1)
    return torch.stack([from_x * scale_x, from_y * scale_y], dim=-1)[None]
