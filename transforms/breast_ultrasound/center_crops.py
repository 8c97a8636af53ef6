"""Crops of a volume around marked points, and of healthy tissue (centre-point ultrasound, §2)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from transforms.breast_ultrasound.volume import read_volume
from transforms.errors import InputError
from transforms.facts import Facts
from transforms.grid import Grid, triple
from transforms.resample import resample

_TRIES = 1000  # random places a healthy crop is looked for in
_NEAR = 0.08  # of the volume's size: so far from a lesion's relative place a healthy crop may lie


class LoadCenterCrops(Transform):
    """Load a volume and cut a crop around each lesion's centre, or crops at random from a healthy one.

    Crops keep the volume's own voxels (no interpolation) unless a spacing is asked for: then only the crop is
    resampled, in one step. Intensities become 0–1 (`transforms.breast_ultrasound.volume.read_volume`).

    A crop that reaches over the border is filled with 0. Half of the healthy crops lie around random points of the
    volume, half at relative places of lesions in other volumes: a network that could tell the classes apart by where
    crops lie, or by how much of them is filled, would learn that and fail on whole volumes.

    Args:
        shape: voxels of a crop along (sweep, depth, lateral); paper: 28×280×280.
        healthy: crops of a healthy volume.
        axes: what the file's three axes are.
        spacing: mm along (sweep, depth, lateral) that crops are resampled to; None keeps the volume's.
        far_mm: where a cohort has no healthy volumes: volumes with lesions give healthy crops too, that keep this far
            from every centre. None, as the paper: from healthy volumes only.
        places: relative places `(x, y, z)` in 0–1 of lesions, by the fold whose healthy volumes they are for; without
            any, all healthy crops lie at random, as the paper's.
        seed: of the places of healthy crops.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it.
    """

    def __init__(self, shape: Sequence[int] = (28, 280, 280), healthy: int = 2,
                 axes: Sequence[str] = ("lateral", "depth", "sweep"), spacing: Sequence[float] | None = None,
                 far_mm: float | None = None, places: Mapping[str, Sequence[Sequence[float]]] | None = None,
                 seed: int = 0) -> None:
        if len(shape) != 3 or min(shape) < 1 or healthy < 0:
            raise InputError(f"shape {list(shape)} must be three numbers of voxels, healthy ({healthy}) not negative")
        if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
            raise InputError(f"spacing {list(spacing)} must be three lengths in mm, along sweep, depth and lateral")
        self.shape = triple(shape[::-1])  # (X, Y, Z)
        self.healthy = int(healthy)
        self.axes = tuple(axes)
        self.spacing = None if spacing is None else np.asarray(spacing[::-1], float)
        self.far_mm = far_mm
        self.places = {fold: np.reshape(np.asarray(each, float), (-1, 3)) for fold, each in (places or {}).items()}
        self.seed = int(seed)
        self.parameters = {"channels": ["image"], "crop": [int(n) for n in shape], "healthy": self.healthy,
                           "axes": list(axes), "spacing": None if spacing is None else [float(mm) for mm in spacing],
                           "far_mm": None if far_mm is None else float(far_mm),
                           "places": {fold: each.tolist() for fold, each in self.places.items()}, "seed": self.seed}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Load one volume.

        Args:
            data: `image` (path, or a mapping with the path under `image`), `lesions` (id and centre `(x, y, z)` in RAS
                mm of each), `healthy` (no lesion is in the volume), `exam_id`, perhaps `fold` (whose `places` it takes)
                and `spacing_mm` (along the file's axes, for a header that lost it).

        Returns:
            `image`: a MetaTensor `(0,)` whose meta holds `digests`; `crops`: name to `(1, Z, Y, X)` float32, `lesion…`
            and `healthy…`; `padded`: names of those that reach over the border, filled with 0; `spacing`: mm along
            (sweep, depth, lateral); `facts` of the file.

        Raises:
            InputError: an image that cannot be used, a centre outside it, a volume smaller than half a crop.
        """
        facts: dict[str, Facts] = {}
        volume, grid, digest = read_volume(data["image"], self.axes, data.get("spacing_mm"), facts)
        lesions = [(str(name), np.asarray(center, float)) for name, center in data.get("lesions", ())]
        for name, center in lesions:
            if not grid.contains(center):
                raise InputError(f"lesion {name}: its centre lies outside the volume; correct it (RAS millimetres)",
                                 code="center_outside")
        wanted = self._resampled(grid)
        if (2 * np.asarray(wanted.shape) < self.shape).any():
            shape, crop = (" × ".join(map(str, each[::-1])) for each in (wanted.shape, self.shape))
            raise InputError(f"the volume ({shape} voxels) is less than half a crop ({crop}); leave it out, or set a "
                             "smaller crop", code="too_small")
        boxes = {f"lesion{name}": wanted.to_index(center) - (np.asarray(self.shape) - 1) / 2
                 for name, center in lesions}
        random = np.random.default_rng([self.seed, zlib.crc32(str(data["exam_id"]).encode())])
        if data["healthy"] or (self.far_mm is not None and lesions):
            places = self.places.get(str(data.get("fold")), np.empty((0, 3)))
            boxes |= self._healthy(wanted, [center for _, center in lesions], places, random)
        crops, padded = {}, []
        for name, start in boxes.items():
            crops[name] = self._cut(volume, grid, wanted, start)
            whole = np.rint(start)
            if (whole < 0).any() or (whole + self.shape > wanted.shape).any():
                padded.append(name)
        image = MetaTensor(torch.zeros(0), meta={"digests": {"image": digest}, "padded": len(padded)})
        return {"image": image, "crops": crops, "padded": padded, "facts": facts,
                "spacing": np.round(wanted.spacing[::-1], 6).tolist()}

    def _resampled(self, grid: Grid) -> Grid:
        """The volume's grid at the spacing that crops have."""
        if self.spacing is None:
            return grid
        shape = np.maximum(np.rint(np.asarray(grid.shape) * grid.spacing / self.spacing), 1)
        return grid.resized(triple(shape))

    def _healthy(self, grid: Grid, centers: Sequence[np.ndarray], places: np.ndarray,
                 random: np.random.Generator) -> dict[str, np.ndarray]:
        """First voxels of crops around random points and around lesions' places, far from lesions of this volume."""
        share = random.uniform(size=(_TRIES, 3))
        if len(places):
            nearby = random.choice(places, _TRIES // 2) + random.uniform(-_NEAR, _NEAR, (_TRIES // 2, 3))
            share[::2] = nearby.clip(0, 1)
        middles = np.rint(share * grid.shape - 0.5).clip(0, np.asarray(grid.shape) - 1)
        starts = middles - (np.asarray(self.shape) - 1) / 2
        free = np.ones(_TRIES, bool)
        for center in centers:
            index = grid.to_index(center)
            outside = ((index < starts - 0.5) | (index > starts + np.asarray(self.shape) - 0.5)).any(axis=1)
            free &= outside & (np.linalg.norm(grid.to_world(middles) - center, axis=1) > float(self.far_mm or 0))
        return {f"healthy{i}": start for i, start in enumerate(starts[free][: self.healthy], start=1)}

    def _cut(self, volume: torch.Tensor, grid: Grid, wanted: Grid, start: np.ndarray) -> torch.Tensor:
        """One crop `(1, Z, Y, X)`, 0 beyond the border."""
        start = np.rint(start)
        if self.spacing is not None:
            return resample(volume.numpy().T, grid, wanted.cropped(start, self.shape))[None]
        crop = torch.zeros(self.shape[::-1])
        low = np.clip(start, 0, grid.shape).astype(int)[::-1]
        high = np.clip(start + self.shape, 0, grid.shape).astype(int)[::-1]
        shift = start.astype(int)[::-1]
        source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, shift, strict=True))
        crop[target] = volume[source]
        return crop[None]
