"""Outlines of a prepared breast's lesions, moved and cut with its image: what boxes are read off."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, Transform

from transforms.errors import InputError
from transforms.read_prepared import MASKS, open_prepared


class LoadLesionMaskd(Transform):
    """Put a breast's mask `(1, X, Y, Z)` beside its image: 0, or the number of a lesion in each voxel.

    Takes, of a case of `pipeline.breast_mri.boxes`, under `keys` the mask's file; where there is none, an ellipsoid for
    each of `extents` (voxel x, y, z of the centre, extent in voxels along x, y, z, malignant), or nothing for a breast
    without lesions. Numbers that are not of the breast's own lesions (`marks`: number and malignant) become 0.

    Gives `marks` as they are in the mask, and `outlined`: False where the mask was made of sizes, and says nothing of a
    lesion's outline.

    Args:
        keys: key of the mask.
        image_key: the image, `(C, X, Y, Z)`.

    Raises:
        InputError: the file is damaged, or its shape is not the image's.
    """

    def __init__(self, keys: str = "mask", image_key: str = "image") -> None:
        self.key = keys
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        shape = tuple(result[self.image_key].shape[1:])
        path, extents = result.get(self.key), result.get("extents") or []
        result["outlined"] = bool(path) or not extents
        if path:
            array = open_prepared(path, MASKS)
            if array.shape != (1, *shape[::-1]):
                raise InputError(f"{Path(path).name}: its shape is not that of the breast's image; delete it and run "
                                 "prepare.yaml again", code="damaged")
            kept = np.zeros(256, np.uint8)
            for number, _ in result["marks"]:
                kept[number] = number
            mask = kept[array[0]]
        else:
            mask = ellipsoids(extents, shape)
            result["marks"] = [[i, int(malignant)] for i, (*_, malignant) in enumerate(extents, start=1)]
        result[self.key] = torch.from_numpy(mask)[None].permute(0, 3, 2, 1)
        return result


def ellipsoids(extents: Sequence[Sequence[float]], shape: Sequence[int]) -> np.ndarray:
    """Lesions of known size as ellipsoids along the axes.

    Args:
        extents: of each: voxel x, y, z of the centre, extent in voxels along x, y and z, malignant.
        shape: voxels `(x, y, z)`.

    Returns:
        `(Z, Y, X)` uint8, 0 or a lesion's number from 1. Smaller ones lie over larger ones, and each has a voxel.
    """
    mask = np.zeros(tuple(shape)[::-1], np.uint8)
    for i in sorted(range(len(extents)), key=lambda i: -float(np.prod(extents[i][3:6]))):
        center, radius = np.asarray(extents[i][:3], float), np.maximum(np.asarray(extents[i][3:6], float) / 2, 0.5)
        low = np.clip(np.floor(center - radius), 0, None).astype(int)
        high = np.minimum(np.ceil(center + radius).astype(int) + 1, shape)
        x, y, z = (np.arange(a, b) for a, b in zip(low, high, strict=True))
        inside = (((x - center[0]) / radius[0]) ** 2 + ((y[:, None] - center[1]) / radius[1]) ** 2
                  + ((z[:, None, None] - center[2]) / radius[2]) ** 2) <= 1  # (z, y, x)
        mask[low[2]:high[2], low[1]:high[1], low[0]:high[0]][inside] = i + 1
        nearest = np.rint(center).astype(int).clip(0, np.asarray(shape) - 1)[::-1]
        mask[tuple(nearest)] = i + 1
    return mask


class RandLesionPatchd(MapTransform, Randomizable):
    """Cut a patch out of image and mask, in a share of draws around a voxel of a lesion, else anywhere.

    Args:
        keys: the image and what is cut with it, all `(C, X, Y, Z)`.
        shape: voxels `(x, y, z)`; an axis that is shorter is taken whole.
        foreground: share of the draws whose patch holds a lesion, where the breast has one.
        mask_key: the mask.
    """

    def __init__(self, keys: KeysCollection, shape: Sequence[int], foreground: float = 0.5, mask_key: str = "mask",
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.shape = np.asarray(shape, int)
        self.foreground = float(foreground)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        mask = result[self.mask_key][0]
        size = np.asarray(mask.shape)
        shape = np.minimum(self.shape, size)
        low, high = np.zeros(3, int), size - shape  # of the patch's first voxel
        numbers = mask.reshape(-1).long().bincount().nonzero().flatten()[1:]  # the first is 0, where there is air
        if len(numbers) and self.R.random_sample() < self.foreground:
            number = numbers[self.R.randint(len(numbers))]  # each lesion as often, whatever its size
            voxels = (mask == number).nonzero().numpy()
            voxel = voxels[self.R.randint(len(voxels))]
            low, high = np.maximum(low, voxel - shape + 1), np.minimum(high, voxel)
        start = [int(self.R.randint(a, b + 1)) for a, b in zip(low, high, strict=True)]
        for key in self.key_iterator(result):
            cut = tuple(slice(a, a + int(n)) for a, n in zip(start, shape, strict=True))
            result[key] = result[key][(slice(None), *cut)]
        return result
