"""Prepared arrays to network input: whole breasts, or patches cut from them while reading.

Prepared breasts are 16-bit `.npy` files, `(C, Z, Y, X)`, opened as memory maps: a patch costs the pages it
touches, and stage 1 of the curriculum needs no second copy of the data.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from transforms.errors import InputError

VIEWS = ("full", "center", "random")  # of a stored crop (centre-point ultrasound, table 2)


def open_prepared(path: Path | str) -> np.ndarray:
    """Memory-map one prepared array, `(C, Z, Y, X)` float16.

    Raises:
        InputError: missing or damaged.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise InputError(f"{Path(path).name}: prepared array is {reason}; delete it and run prepare.yaml again",
                         code=reason) from None
    if array.ndim != 4:
        raise InputError(f"{Path(path).name}: has {array.ndim} axes, 4 expected; run prepare.yaml again")
    return array


class LoadPreparedd(MapTransform):
    """Replace the path of a prepared breast by its voxels: float32 `(C, X, Y, Z)`.

    The tensor is a view of memory in the order `(C, Z, Y, X)`; this is the one place that turns the stored order
    into the public one.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            voxels = torch.from_numpy(open_prepared(result[key]).astype(np.float32))
            result[key] = voxels.permute(0, 3, 2, 1)
        return result


class LoadLesionPatchd(MapTransform, Randomizable):
    """Replace the path of a prepared breast by a patch around one lesion, and set its label (§3.1, stage 1).

    The patch is centred on the lesion plus a uniform offset; where it reaches over the border it is filled with 0
    (air). Its label is the worst lesion whose centre lies inside it.

    The dictionary needs `center`, the voxel `(x, y, z)` of the lesion, and `lesions`, every lesion of the breast
    as `(x, y, z, malignant)`.

    Args:
        keys: key of the path.
        shape: voxels `(x, y, z)`; paper: 64×64×4.
        jitter: largest offset as a part of the patch; the authors use a quarter. 0 centres it.
        label_key: where the label is put.
    """

    def __init__(self, keys: KeysCollection, shape: Sequence[int], jitter: float = 0.25, label_key: str = "label",
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.shape = np.asarray(shape, int)
        self.jitter = float(jitter)
        self.label_key = label_key
        self.offset = np.zeros(3)

    def randomize(self, data: Any = None) -> None:
        self.offset = self.R.uniform(-self.jitter, self.jitter, 3) * self.shape

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        self.randomize()
        start = np.rint(np.asarray(result["center"]) + self.offset - (self.shape - 1) / 2).astype(int)
        inside = [
            int(malignant) for *voxel, malignant in result["lesions"]
            if np.all(np.asarray(voxel) >= start - 0.5) and np.all(np.asarray(voxel) < start + self.shape - 0.5)
        ]
        result[self.label_key] = max(inside)
        for key in self.key_iterator(result):
            array = open_prepared(result[key])
            patch = np.zeros((array.shape[0], *self.shape[::-1]), np.float32)
            size = np.asarray(array.shape[:0:-1])
            low, high = np.clip(start, 0, size), np.clip(start + self.shape, 0, size)
            target = tuple(slice(a, b) for a, b in zip((low - start)[::-1], (high - start)[::-1], strict=True))
            source = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
            patch[(slice(None), *target)] = array[(slice(None), *source)]
            result[key] = torch.from_numpy(patch).permute(0, 3, 2, 1)
        return result


class LoadSliced(MapTransform):
    """Replace the path of a lesion's prepared patches by one of them: float32 `(C, Y, X)`.

    The dictionary needs `slice`, the number of the patch. Only the contrasts asked for are read: one prepared array
    serves every subset.

    Args:
        keys: key of the path.
        stored: contrasts in the order of the array.
        channels: contrasts wanted, in the network's order.

    Raises:
        InputError: a contrast that the array does not hold.
    """

    def __init__(self, keys: KeysCollection, stored: Sequence[str], channels: Sequence[str],
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        for name in channels:
            if name not in stored:
                raise InputError(f"channels: no contrast {name!r}; prepared are {', '.join(stored)}")
        self.index = [list(stored).index(name) for name in channels]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            patch = open_prepared(result[key])[int(result["slice"])]
            result[key] = torch.from_numpy(patch[self.index].astype(np.float32))
        return result


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
            result[key] = torch.from_numpy(array[part].astype(np.float32))
        return result
