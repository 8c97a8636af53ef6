"""Prepared whole exams to network input: the phases that are needed, flipped and cropped at random while training."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

from transforms.errors import InputError
from transforms.read_prepared import open_prepared, to_tensor


class LoadPhasesd(MapTransform):
    """Replace the path of a prepared exam by some of its phases: float32 `(P, X, Y, Z)`, in time.

    Only those phases are read. The tensor is a view of memory in the order `(P, Z, Y, X)`. The dictionary needs
    `phases`, the names of those that the array holds.

    Args:
        keys: key of the path.
        phases: names of those wanted.

    Raises:
        InputError: a phase that the exam does not have, or an array of another number of phases.
    """

    def __init__(self, keys: KeysCollection, phases: Sequence[str], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.phases = list(phases)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            path, stored = result[key], list(result["phases"])
            array = open_prepared(path)
            if lacking := [name for name in self.phases if name not in stored]:
                raise InputError(f"{Path(path).name}: has no {', '.join(lacking)}; leave the exam out of the datalist, "
                                 "or choose another input")
            if len(array) != len(stored):
                raise InputError(f"{Path(path).name}: holds {len(array)} phases, {len(stored)} were prepared; delete "
                                 "it and run prepare.yaml again", code="damaged")
            # To float32 before any arithmetic: 16 bits would round a difference, unsigned ones wrap it.
            voxels = torch.stack([to_tensor(array[stored.index(name)], path) for name in self.phases])
            result[key] = voxels.permute(0, 3, 2, 1)
        return result


class RandFlipCropStackd(MapTransform, RandomizableTransform):
    """Mirror an exam along its axes and crop its slices, at random (§3.2); its four labels follow.

    Each axis is mirrored with probability 1/2. Mirrored from left to right, the left breast is where the right was, and
    the labels of the two change places. Crops keep all slices and a random part of rows and columns, at a random place.

    Args:
        keys: key of the exam, `(C, X, Y, Z)` with x to the patient's right.
        flip_axes: axes that are mirrored, of 0 (left-right), 1 (in plane) and 2 (along the slices).
        keep: least part of rows and of columns that a crop keeps; 1 crops nothing.
        label_key: the labels, those of the left breast before those of the right.

    Raises:
        InputError: an axis that is none, or a part that is none.
    """

    def __init__(self, keys: KeysCollection, flip_axes: Sequence[int] = (0, 1, 2), keep: float = 0.9,
                 label_key: str = "label", allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, 1.0)
        if not set(flip_axes) <= {0, 1, 2}:
            raise InputError(f"flip_axes {list(flip_axes)}: an exam has the axes 0, 1 and 2")
        if not 0 < keep <= 1:
            raise InputError(f"crop_keep {keep}: give the least part of rows and columns to keep, above 0 and up to 1")
        self.flip_axes = tuple(flip_axes)
        self.keep = float(keep)
        self.label_key = label_key
        self.flips: list[int] = []
        self.parts: list[tuple[float, float]] = []

    def randomize(self, data: Any = None) -> None:
        drawn = self.R.random_sample(7)
        self.flips = [axis for axis in range(3) if drawn[axis] < 0.5 and axis in self.flip_axes]
        self.parts = [(self.keep + (1 - self.keep) * drawn[3 + axis], drawn[5 + axis]) for axis in range(2)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        self.randomize()
        for key in self.key_iterator(result):
            image = result[key]
            for axis, (part, place) in enumerate(self.parts, start=1):
                size = image.shape[axis]
                kept = max(round(part * size), 1)
                image = image.narrow(axis, round(place * (size - kept)), kept)
            planes = image.permute(0, 3, 2, 1)  # (C, Z, Y, X), as memory has it
            result[key] = planes.flip([3 - axis for axis in self.flips]).permute(0, 3, 2, 1)
        if 0 in self.flips and self.label_key in result:
            labels = result[self.label_key]
            half = len(labels) // 2
            result[self.label_key] = [*labels[half:], *labels[:half]]
        return result
