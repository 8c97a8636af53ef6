"""Prepared arrays to network input: whole breasts, or patches cut from them while reading.

Prepared breasts are 16-bit `.npy` files, `(C, Z, Y, X)`, opened as memory maps: a patch costs the pages it
touches, and stage 1 of the curriculum needs no second copy of the data.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from transforms.errors import InputError

STORED = ("float16", "uint16")  # breasts, slices and crops; mammograms
MASKS = ("uint8",)


def open_prepared(path: Path | str, stored: Sequence[str] = STORED) -> np.ndarray:
    """Memory-map one prepared array, `(C, Z, Y, X)` float16, mammograms `(1, 1, rows, columns)` uint16.

    Args:
        path: the array's file.
        stored: types that it may have, `MASKS` for a mask, `(1, Z, Y, X)`.

    Raises:
        InputError: missing, damaged, or no array that prepare.yaml writes.
    """
    try:
        array = np.load(path, mmap_mode="r")
    except Exception as error:  # a header that was tampered with raises what its text happens to mean
        reason = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise InputError(f"{Path(path).name}: prepared array is {reason}; delete it and run prepare.yaml again",
                         code=reason) from None
    if not isinstance(array, np.ndarray) or array.ndim != 4 or not array.size or array.dtype.name not in stored:
        raise InputError(f"{Path(path).name}: not what prepare.yaml writes (four axes of {' or '.join(stored)}); "
                         "delete it and run prepare.yaml again", code="damaged")
    return array


def to_tensor(voxels: np.ndarray, path: Path | str) -> torch.Tensor:
    """A part of a prepared array as float32.

    Args:
        voxels: the part.
        path: the array's file, for the error.

    Raises:
        InputError: voxels that are NaN or infinite.
    """
    tensor = torch.from_numpy(np.asarray(voxels, np.float32))
    if not math.isfinite(float(tensor.sum())):  # 16-bit values never sum up to infinity
        raise InputError(f"{Path(path).name}: holds NaN or infinite voxels; delete it and run prepare.yaml again",
                         code="non_finite")
    return tensor


class LoadPreparedd(MapTransform):
    """Replace the path of a prepared breast by its voxels: float32 `(C, X, Y, Z)`.

    The tensor is a view of memory in the order `(C, Z, Y, X)`; this is the one place that turns the stored order
    into the public one.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = to_tensor(open_prepared(result[key]), result[key]).permute(0, 3, 2, 1)
        return result
