"""Prepared breast MRI to network input: patches around lesions, and slices of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from transforms.errors import InputError
from transforms.read_prepared import open_prepared, to_tensor

_TISSUE = 0.3  # of the mean of the tissue, which preparation makes 1
_TRIES = 100  # random voxels of a breast, half of whose crop is tissue


class LoadLesionPatchd(MapTransform, Randomizable):
    """Replace the path of a prepared breast by a patch around one lesion, and set its label (§3.1, stage 1).

    The patch is centred on the lesion plus a uniform offset; where it reaches over the border it is filled with 0
    (air). Its label is the worst lesion whose centre lies inside it, 0 where none does.

    The dictionary needs `center`, the voxel `(x, y, z)` of the lesion, and `lesions`, every lesion of the breast
    as `(x, y, z, malignant)`. Where `center` is None, the patch lies at a random place in the tissue.

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
        center = result["center"]
        if center is None:
            center = self._place(open_prepared(result[self.first_key(result)]))
        start = np.rint(np.asarray(center) + self.offset - (self.shape - 1) / 2).astype(int)
        inside = [
            int(malignant) for *voxel, malignant in result["lesions"]
            if np.all(np.asarray(voxel) >= start - 0.5) and np.all(np.asarray(voxel) < start + self.shape - 0.5)
        ]
        result[self.label_key] = max(inside, default=0)
        for key in self.key_iterator(result):
            array = open_prepared(result[key])
            patch = np.zeros((array.shape[0], *self.shape[::-1]), np.float32)
            size = np.asarray(array.shape[:0:-1])
            low, high = np.clip(start, 0, size), np.clip(start + self.shape, 0, size)
            target = tuple(slice(a, b) for a, b in zip((low - start)[::-1], (high - start)[::-1], strict=True))
            source = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
            patch[(slice(None), *target)] = array[(slice(None), *source)]
            result[key] = to_tensor(patch, result[key]).permute(0, 3, 2, 1)
        return result

    def _place(self, array: np.ndarray) -> np.ndarray:
        """A random voxel `(x, y, z)` of the tissue of a prepared breast `(C, Z, Y, X)`, by its first contrast."""
        size = np.asarray(array.shape[:0:-1])
        for _ in range(_TRIES):
            x, y, z = voxel = self.R.randint(size)
            if array[0, z, y, x] > _TISSUE:
                break
        return voxel


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
        self.stored = len(stored)
        self.index = [list(stored).index(name) for name in channels]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            array = open_prepared(result[key])
            if array.shape[1] != self.stored:
                raise InputError(f"{Path(result[key]).name}: holds {array.shape[1]} contrasts, {self.stored} were "
                                 "prepared; delete it and run prepare.yaml again", code="damaged")
            result[key] = to_tensor(array[int(result["slice"])][self.index], result[key])
        return result
