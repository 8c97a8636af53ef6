"""Cutting the breast out of a mammogram, as the pretrained four-view model was trained (§3.5, its ref. [20]).

All functions take `(rows, columns)` images in the one orientation of `transforms.read_mammogram`: chest wall at the
left, so that "rightmost" is the nipple's side. The pixel counts of `CropRules` hold for detectors of about 0.07 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from transforms.errors import InputError


class Box(NamedTuple):
    """A rectangle of pixels: rows `top` to `bottom`, columns `left` to `right`, the ends not included.

    It may reach beyond the image, on either side.
    """

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class CropRules:
    """The model's pixel counts; §3.5.

    Attributes:
        erosions: steps by which the mask is eroded and dilated, to lose labels and lines.
        buffer: rows kept above and below the breast, and columns beyond the nipple.
        windows: `(rows, columns)` of the network's input for each view.
        shift, stretch: how far a random crop is moved, and then each of its edges, at most.
        above: part of the breast's height, from the top, in which the rightmost pixel is not looked for: the arm.
    """

    erosions: int = 100
    buffer: int = 50
    windows: Mapping[str, tuple[int, int]] = field(default_factory=lambda: {"CC": (2677, 1942), "MLO": (2974, 1748)})
    shift: int = 100
    stretch: int = 100
    above: float = 1 / 3

    def scaled(self, factor: float) -> CropRules:
        """The rules for images whose pixels are `1 / factor` times as large, at least 1 everywhere."""
        def part(count: int) -> int:
            return max(1, round(count * factor))

        windows = {view: (part(rows), part(columns)) for view, (rows, columns) in self.windows.items()}
        return CropRules(part(self.erosions), part(self.buffer), windows, part(self.shift), part(self.stretch),
                         self.above)


RULES = CropRules()  # the authors'


@dataclass(frozen=True)
class Breast:
    """Where the breast lies: `box` in the image, `rightmost` and `bottommost` in the box, one past the last pixel."""

    box: Box
    rightmost: int
    bottommost: int


def breast_mask(pixels: np.ndarray, erosions: int = 100) -> np.ndarray:
    """Pixels of the breast, bool: above 0, eroded, largest piece, dilated by as many 4-connected steps.

    Raises:
        InputError: nothing is left after the erosions (code `no_breast`).
    """
    core, count = ndimage.label(ndimage.binary_erosion(pixels > 0, iterations=erosions))
    if not count:
        raise InputError(f"no breast wider than {2 * erosions} pixels found; lower the erosions, or check the image",
                         code="no_breast")
    largest = np.bincount(core.ravel())[1:].argmax() + 1
    return ndimage.binary_dilation(core == largest, iterations=erosions)


def find_breast(pixels: np.ndarray, rules: CropRules = RULES) -> Breast:
    """Bounding box of the breast with its buffers, and the points at which windows are anchored.

    Raises:
        InputError: as `breast_mask`.
    """
    mask = breast_mask(pixels, rules.erosions)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = Box(max(int(rows[0]) - rules.buffer, 0), min(int(rows[-1]) + 1 + rules.buffer, mask.shape[0]),
              int(columns[0]), min(int(columns[-1]) + 1 + rules.buffer, mask.shape[1]))
    lower = box.top + int((box.bottom - box.top) * rules.above)
    rightmost = int(np.flatnonzero(mask[lower:].any(axis=0))[-1]) + 1
    return Breast(box, rightmost - box.left, int(rows[-1]) + 1 - box.top)


def cut(pixels: Any, box: Box) -> Any:
    """The part of an array or tensor `(..., rows, columns)` that a box covers; 0 where the box reaches beyond."""
    top, bottom = np.clip(box[:2], 0, pixels.shape[-2])
    left, right = np.clip(box[2:], 0, pixels.shape[-1])
    inner = pixels[..., top:bottom, left:right]
    if (top, bottom, left, right) == box:
        return inner
    shape = (*pixels.shape[:-2], box.bottom - box.top, box.right - box.left)
    out = pixels.new_zeros(shape) if isinstance(pixels, torch.Tensor) else np.zeros(shape, pixels.dtype)
    out[..., top - box.top : bottom - box.top, left - box.left : right - box.left] = inner
    return out


def resize(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """`(C, rows, columns)` to `size`, bilinear; averages where it shrinks, so that fine calcifications do not alias."""
    if tuple(pixels.shape[-2:]) == tuple(size):
        return pixels
    return F.interpolate(pixels[None], size=tuple(size), mode="bilinear", align_corners=False, antialias=True)[0]


def standardise(pixels: torch.Tensor) -> torch.Tensor:
    """Mean 0 and standard deviation 1 over the image, padding included; a constant image becomes 0."""
    return (pixels - pixels.mean()) / pixels.std(correction=0).clamp(min=1e-5)
