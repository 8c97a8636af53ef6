"""Stored ultrasound crops to network input: the whole, or a part of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from transforms.errors import InputError
from transforms.read_prepared import open_prepared, to_tensor

VIEWS = ("full", "center", "random")  # of a stored crop (centre-point ultrasound, table 2)


class LoadCropd(MapTransform, Randomizable):
    """Replace the path of a stored crop by a part of it: float32 `(1, Z, Y, X)` (centre-point ultrasound, Fig. 1).

    Only the part is read.

    Args:
        keys: key of the path.
        shape: voxels of the part along (Z, Y, X); paper: 16×160×160.
        view: where it lies: `random`, `center`, or `full` for the whole crop. The dictionary's own `view` goes first.

    Raises:
        InputError: no such view, or a crop smaller than the part.
    """

    def __init__(self, keys: KeysCollection, shape: Sequence[int], view: str = "random",
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if view not in VIEWS:
            raise InputError(f"view {view!r}: choose one of {', '.join(VIEWS)}")
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"shape {list(shape)}: three numbers of voxels are expected, each at least 1")
        self.shape = np.asarray(shape, int)
        self.view = view
        self.place = np.zeros(3)

    def randomize(self, data: Any = None) -> None:
        self.place = self.R.uniform(size=3)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        self.randomize()
        view = str(result.get("view", self.view))
        for key in self.key_iterator(result):
            array = open_prepared(result[key])
            room = np.asarray(array.shape[1:]) - self.shape
            if (room < 0).any():
                raise InputError(f"stored crops have {' × '.join(map(str, array.shape[1:]))} voxels, fewer than shape "
                                 f"{list(map(int, self.shape))}; prepare larger ones, or set shape smaller")
            start = np.floor(self.place * (room + 1)).astype(int) if view == "random" else room // 2
            end = start + self.shape
            part = (slice(None),) if view == "full" else (slice(None), *map(slice, start, end))
            result[key] = to_tensor(array[part], result[key])
        return result
