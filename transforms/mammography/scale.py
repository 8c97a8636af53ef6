"""The paper's own two inputs: the whole mammogram scaled to one width, and a region of it at native resolution (§4.2).

Padding and cropping to the network's 976 × 976 are MONAI's `SpatialPadd`, `RandSpatialCropd` and `CenterSpatialCropd`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from transforms.errors import InputError
from transforms.mammography.geometry import Box, cut, resize

INPUT = 976  # pixels of a side of the networks' input, §4.2


def pixels_of(name: str, value: Any) -> int:
    """A whole number of pixels, at least 1.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; give a whole number of pixels, at least 1")
    return value


class ScaleToWidth(Transform):
    """Scale an image `(C, rows, columns)` to one width, keeping its aspect.

    Meant for whole mammograms: a picture cut close to the breast becomes so tall that a square in its middle loses
    most of it.

    Args:
        width: columns; paper: 976.
    """

    def __init__(self, width: int = INPUT) -> None:
        self.width = pixels_of("width", width)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        rows, columns = image.shape[-2:]
        return resize(image, (max(1, round(rows * self.width / columns)), self.width))


class ScaleToWidthd(MapTransform):
    """Dictionary version of `ScaleToWidth`.

    Args:
        keys: of images.
        width: columns; paper: 976.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection = "image", width: int = INPUT, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale = ScaleToWidth(width)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.scale(out[key])
        return out


def fit_square(image: torch.Tensor, size: int = INPUT) -> tuple[torch.Tensor, tuple[int, int]]:
    """The middle square of an image `(C, rows, columns)`, zeros where it is smaller (§4.2, evaluation).

    Returns:
        `(C, size, size)`, and row and column of its first pixel in the image; negative where zeros were put before.
    """
    top, left = ((length - size) // 2 for length in image.shape[-2:])
    return cut(image, Box(top, top + size, left, left + size)), (top, left)


class FitSquared(MapTransform):
    """Dictionary version of `fit_square`; `corner` in the dictionary becomes the first pixel's place.

    Args:
        keys: of images, of one size.
        size: pixels of a side; paper: 976.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection = "image", size: int = INPUT, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size = pixels_of("size", size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key], out["corner"] = fit_square(out[key], self.size)
        return out


def region_around(shape: tuple[int, int], point: tuple[float, float], size: int = INPUT) -> Box:
    """A square of `size` pixels around a point, moved into the image; for `transforms.mammography.geometry.cut`.

    Args:
        shape: rows and columns of the image at native resolution.
        point: row and column in it, in pixels, 0 at the centre of the first.
        size: pixels of a side; paper: 976. Along an axis on which the image is smaller, zeros fill both sides.
    """
    starts = []
    for length, place in zip(shape, point, strict=True):
        room = length - size
        starts.append(min(max(round(place - (size - 1) / 2), 0), room) if room >= 0 else -(-room // 2))
    return Box(starts[0], starts[0] + size, starts[1], starts[1] + size)


def native_point(point: tuple[float, float], corner: tuple[int, int], shape: tuple[int, int],
                 scaled: tuple[int, int]) -> tuple[float, float]:
    """A point of the network's input, row and column, in the image at native resolution.

    Args:
        point: in the input, in pixels, 0 at the centre of the first.
        corner: row and column of the input's first pixel in the scaled image; negative where zeros were padded.
        shape: of the image at native resolution.
        scaled: of the scaled image.
    """
    row, column = ((p + c + 0.5) * n / s - 0.5 for p, c, n, s in zip(point, corner, shape, scaled, strict=True))
    return row, column
