"""The network's windows on a breast: the best one, random ones, and what the network is given of each (§3.5).

All functions take what `transforms.mammography.geometry.find_breast` found, in the one orientation: chest wall left.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform

from transforms.mammography.geometry import RULES, Box, Breast, CropRules, cut, find_breast, standardise


def best_window(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules = RULES) -> Box:
    """The window of the network's size around the breast, in coordinates of the box.

    Its right edge is at the rightmost pixel. MLO: its bottom edge is at the bottommost pixel, or at the last row with
    a pixel above 0 among as many of the box's last columns as the window has, where that lies higher. CC: its rows are
    those with the most pixels above 0, in a tie nearest to the middle. It is moved into the box where it reaches out.
    Where the box is smaller than the window, zeros fill the nipple's side, the bottom of an MLO view, and both top and
    bottom of a CC view, so that the chest wall stays at column 0.

    Args:
        pixels: `(rows, columns)`, already cut to `breast.box`.
        view: `CC` or `MLO`.
        breast: of `find_breast`.
        rules: its `windows` are used.
    """
    return _placed(pixels, view, breast, rules, room=0)[0]


def random_windows(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules = RULES, count: int = 10,
                   seed: int | Sequence[int] = 0) -> list[Box]:
    """Windows for test-time augmentation: the best one moved by up to `shift`, then each edge by up to `stretch`.

    They stay in the box, which is taken to reach `shift + stretch` further where zeros may fill it. Same arguments,
    same windows. Their sizes differ: `network_input` brings them to the network's.

    Args:
        seed: of the draws; numbers of views and exams beside it, so that each view has draws of its own.
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


def windows(pixels: np.ndarray, name: str, breast: Breast, rules: CropRules, crops: int, seed: int,
            exam: str = "") -> list[Box]:
    """The best window of a view or, with `crops`, that many random ones.

    Args:
        name: of the view, with its side: each view of each exam has draws of its own.
    """
    view = "MLO" if "MLO" in name else "CC"
    if not crops:
        return [best_window(pixels, view, breast, rules)]
    return random_windows(pixels, view, breast, rules, crops, [seed, crc32(f"{exam}/{name}".encode())])


def network_input(image: torch.Tensor, box: Box, size: tuple[int, int]) -> torch.Tensor:
    """A window of `(C, rows, columns)` as `(C, *size)`: the first channel standardised, heat maps as they are.

    A window of another size is resized by bicubic interpolation, as the network's authors do.
    """
    window = cut(image, box)
    if tuple(window.shape[-2:]) != tuple(size):
        window = F.interpolate(window[None], size=tuple(size), mode="bicubic", align_corners=False)[0]
    return torch.cat([standardise(window[:1]), window[1:]])


def _placed(pixels: np.ndarray, view: str, breast: Breast, rules: CropRules, room: int) -> tuple[Box, Box]:
    """The best window, and the limits within which it may move where zeros make `room`."""
    (height, width), (rows, columns) = rules.windows[view], pixels.shape
    top, upper, lower = 0, 0, rows
    beside = _inside(breast.rightmost - width, max(columns - width, 0))  # the best window's first column
    if view == "CC" and rows < height + 2 * room:
        top = -((height - rows) // 2)
        upper, lower = top - room, top + height + room
    elif view == "MLO" and rows < height + room:
        lower = height + room
    elif view == "MLO":
        bottom = min(breast.bottommost, _last_row(pixels[:, -width:]) or breast.bottommost)
        top = _inside(bottom - height, rows - height)
    else:
        top = _fullest(pixels[:, beside : beside + width], height)
    left = beside if columns >= width + room else 0
    return Box(top, top + height, left, left + width), Box(upper, lower, 0, max(columns, width + room))


def _inside(start: int, last: int) -> int:
    return min(max(start, 0), last)


def _last_row(pixels: np.ndarray) -> int:
    """One past the last row with a pixel above 0; 0 where there is none."""
    rows = np.flatnonzero((pixels > 0).any(axis=1))
    return int(rows[-1]) + 1 if len(rows) else 0


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
        seed: of the random windows; each view, and of each `exam_id` where items have one, draws its own.
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
            name, exam = str(data[self.view_key]), str(data.get("exam_id", ""))
            out[key] = self._windows(torch.as_tensor(out[key]), name, exam)
        return out

    def _windows(self, image: torch.Tensor, name: str, exam: str) -> torch.Tensor:
        breast = find_breast(image[0].numpy(), self.rules)
        image = cut(image, breast.box)
        boxes = windows(image[0].numpy(), name, breast, self.rules, self.crops, self.seed, exam)
        size = self.rules.windows["MLO" if "MLO" in name else "CC"]
        inputs = torch.stack([network_input(image, box, size) for box in boxes])
        return inputs if self.crops else inputs[0]
