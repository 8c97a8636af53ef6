"""Prepared arrays to network input: whole breasts, or patches cut from them while reading.

Prepared breasts are 16-bit `.npy` files, `(C, Z, Y, X)`, opened as memory maps: a patch costs the pages it
touches, and stage 1 of the curriculum needs no second copy of the data.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from transforms.errors import InputError


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
