"""Cutting the breast out of a mammogram, as the pretrained four-view model was trained (§3.5, its ref. [20]).

All functions take `(rows, columns)` images in the one orientation of `transforms.read_mammogram`: chest wall at the
left, so that "rightmost" is the nipple's side. The pixel counts of `CropRules` hold for detectors of about 0.07 mm.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform
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


def find_breast(pixels: np.ndarray, rules: CropRules = CropRules()) -> Breast:
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


def best_window(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules = CropRules()) -> Box:
    """The window of the network's size around the breast, in coordinates of the box.

    Its right edge is at the rightmost pixel. MLO: its bottom edge is at the bottommost pixel. CC: its rows are those
    with the most pixels above 0, in a tie nearest to the middle. It is moved into the box where it reaches out.
    Where the box is smaller than the window, zeros fill the nipple's side, the bottom of an MLO view, and both top and
    bottom of a CC view, so that the chest wall stays at column 0.

    Args:
        pixels: `(rows, columns)`, already cut to `breast.box`.
        view: `CC` or `MLO`.
        breast: of `find_breast`.
        rules: its `windows` are used.
    """
    return _placed(pixels, view, breast, rules, room=0)[0]


def random_windows(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules = CropRules(), count: int = 10,
                   seed: int = 0) -> list[Box]:
    """Windows for test-time augmentation: the best one moved by up to `shift`, then each edge by up to `stretch`.

    They stay in the box, which is taken to reach `shift + stretch` further where zeros may fill it. Same arguments,
    same windows. Their sizes differ: `resize` brings them to the network's.
    """
    random = np.random.default_rng(seed)
    window, limits = _placed(pixels, view, breast, rules, room=rules.shift + rules.stretch)
    size = rules.windows[view]
    found = []
    for _ in range(count):
        top, left = (_moved(random, window[i], window[i + 1], limits[i], limits[i + 1], rules.shift) for i in (0, 2))
        edges = np.array([top, top + size[0], left, left + size[1]])
        free = (edges - limits) * [1, -1, 1, -1]
        stretch = min(rules.stretch, *free) * np.array([size[0], size[0], size[1], size[1]]) / max(size)
        found.append(Box(*(int(e) for e in edges + np.round(random.uniform(-1, 1, 4) * np.round(stretch)))))
    return found


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


def windows(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules, crops: int, seed: int) -> list[Box]:
    """The best window of a view or, with `crops`, that many random ones."""
    best = [best_window(pixels, view, breast, rules)]
    return random_windows(pixels, view, breast, rules, crops, seed) if crops else best


def network_input(image: torch.Tensor, box: Box, size: tuple[int, int]) -> torch.Tensor:
    """A window of `(C, rows, columns)` as `(C, *size)`: the first channel standardised, heat maps as they are."""
    window = resize(cut(image, box), size)
    return torch.cat([standardise(window[:1]), window[1:]])


def _placed(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules, room: int) -> tuple[Box, Box]:
    """The best window, and the limits within which it may move where zeros make `room`."""
    (height, width), (rows, columns) = rules.windows[view], pixels.shape
    top, upper, lower = 0, 0, rows
    if view == "CC" and rows < height + 2 * room:
        top = -((height - rows) // 2)
        upper, lower = top - room, top + height + room
    elif view == "MLO" and rows < height + room:
        lower = height + room
    else:
        top = _inside(breast.bottommost - height, rows - height) if view == "MLO" else _fullest(
            pixels[:, max(breast.rightmost - width, 0) : breast.rightmost], height)
    left = _inside(breast.rightmost - width, columns - width) if columns >= width + room else 0
    return Box(top, top + height, left, left + width), Box(upper, lower, 0, max(columns, width + room))


def _inside(start: int, last: int) -> int:
    return min(max(start, 0), last)


def _fullest(pixels: np.ndarray, height: int) -> int:
    """First of the `height` rows with the most pixels above 0, in a tie those nearest to the middle."""
    total = np.concatenate([[0], np.cumsum((pixels > 0).sum(axis=1))])
    inside = total[height:] - total[:-height]
    best = np.flatnonzero(inside == inside.max())
    return int(best[np.abs(best - (len(pixels) - height) / 2).argmin()])


def _moved(random: np.random.Generator, start: int, end: int, low: int, high: int, shift: int) -> int:
    """A new start: inwards only where the window already touches a limit."""
    move = random.uniform(-1, 1)
    if start == low:
        move = abs(move)
    elif end == high:
        move = -abs(move)
    return start + round(move * min(shift, high - end if move >= 0 else start - low))


class BreastWindowd(MapTransform):
    """From a whole mammogram to the pretrained model's input: crop, best window or random ones, standardise.

    Takes `(C, rows, columns)`; the breast is looked for in the first channel, which alone is standardised: further
    channels are heat maps. Gives `(C, *window)`, or `(crops, C, *window)`.

    Args:
        keys: of images, of which the first decides on the windows.
        view_key: of the view, of which `CC` or `MLO` is taken.
        crops: 0: the best window; else that many random ones (paper's comparator: 10).
        scale: of all pixel counts, for images smaller than a detector's.
        seed: of the random windows, the same for each image.
        allow_missing_keys: as in MONAI.

    Raises:
        InputError: no breast found (code `no_breast`).
    """

    def __init__(self, keys: KeysCollection = "image", view_key: str = "view", crops: int = 0, scale: float = 1.0,
                 seed: int = 0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.view_key, self.crops, self.seed = view_key, crops, seed
        self.rules = CropRules().scaled(scale)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._windows(torch.as_tensor(out[key]), str(data[self.view_key]))
        return out

    def _windows(self, image: torch.Tensor, view: str) -> torch.Tensor:
        view = "MLO" if "MLO" in view else "CC"
        breast = find_breast(image[0].numpy(), self.rules)
        image = cut(image, breast.box)
        boxes = windows(image[0].numpy(), view, breast, self.rules, self.crops, self.seed)
        inputs = torch.stack([network_input(image, box, self.rules.windows[view]) for box in boxes])
        return inputs if self.crops else inputs[0]
