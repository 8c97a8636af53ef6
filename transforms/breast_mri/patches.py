"""Patches of slices: where they lie around a lesion, what is in them, and how the lesion takes up contrast.

A patch is a `Grid` of `(columns, rows, 1)` voxels in the patient; `resample` fills it from the exam's slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from transforms.errors import InputError
from transforms.grid import Grid
from transforms.resample import resample

Spot = tuple[int, float, float]  # slice, and column and row of the lesion's middle on it, in voxels
_CORE = 1 / 8  # of a patch's width: radius of the disc that an enhancement curve is measured in


@dataclass(frozen=True)
class PatchSize:
    """How large patches are: `voxels` a side, the exam's own, or made of `mm` a side by interpolation."""

    voxels: int
    mm: float | None = None

    def at(self, spot: Spot, grid: Grid) -> Grid:
        """The patch around a spot of an exam's slices."""
        z, x, y = spot
        half = (self.voxels - 1) / 2
        if self.mm is None:  # rounded first: half a voxel must go the same way whatever the affine's last digits
            return grid.cropped((round(round(x, 4) - half), round(round(y, 4) - half), z), (self.voxels,) * 2 + (1,))
        scale = self.mm / self.voxels / grid.spacing[:2]
        step = np.diag([*scale, 1.0, 1.0])
        step[:3, 3] = [x - scale[0] * half, y - scale[1] * half, z]
        return Grid((self.voxels, self.voxels, 1), grid.affine @ step)


def spots_around(center: np.ndarray, grid: Grid, extent: float) -> list[Spot]:
    """The slices of a lesion that is known by its centre `(x, y, z)`, and `extent` mm above and below it."""
    reach = extent / grid.spacing[2]
    middle = int(np.clip(round(center[2]), 0, grid.shape[2] - 1))
    first, last = max(int(np.ceil(center[2] - reach)), 0), min(int(np.floor(center[2] + reach)), grid.shape[2] - 1)
    return [(z, float(center[0]), float(center[1])) for z in sorted({middle, *range(first, last + 1)})]


def spots_in_mask(mask: np.ndarray, name: str) -> list[Spot]:
    """As `spots_around`, from a mask `(X, Y, Z)`: the centre of mass on each slice that the lesion covers.

    Raises:
        InputError: an id that is no number, or a mask without it.
    """
    if not name.isdigit():
        raise InputError(f"lesion {name}: ids must be the numbers in the mask", code="bad_mask")
    x, y, z = np.nonzero(mask == int(name))
    if not len(z):
        raise InputError(f"lesion {name}: the mask holds no voxel of it; correct the mask or leave it out",
                         code="empty_mask")
    return [(int(k), float(x[z == k].mean()), float(y[z == k].mean())) for k in np.unique(z)]


def holds_another(place: Grid, grid: Grid, name: str, spots: Mapping[str, Sequence[Spot]],
                  mask: np.ndarray | None) -> bool:
    """Whether another lesion than `name` is in a patch: in its part of the mask, or by its middle on that slice."""
    if mask is None:
        return any(place.contains(grid.to_world(np.array([x, y, z])))
                   for other, own in spots.items() if other != name for z, x, y in own)
    low, high = np.clip(np.ceil(_edges(place, grid)), 0, grid.shape).astype(int)
    z = round(float(grid.to_index(place.to_world(np.zeros(3)))[2]))
    return bool(np.any(~np.isin(mask[low[0] : high[0], low[1] : high[1], z], (0, int(name)))))


def reaches_over(place: Grid, grid: Grid) -> bool:
    """Whether a patch is larger than what the exam's slices show of it."""
    low, high = _edges(place, grid)
    return bool((low[:2] < -0.5 - 1e-3).any() or (high[:2] > np.asarray(grid.shape[:2]) - 0.5 + 1e-3).any())


def _edges(place: Grid, grid: Grid) -> np.ndarray:
    """Outer edges of a patch, first and last, in voxels of `grid`: `(2, 3)`."""
    size = np.asarray(place.shape, float)
    return grid.to_index(place.to_world(np.stack([np.full(3, -0.5), size - 0.5])))


def fill(volumes: Iterable[torch.Tensor], grid: Grid, place: Grid) -> torch.Tensor:
    """A patch `(C, rows, columns)` of volumes `(Z, Y, X)` on `grid`; 0 beyond the border."""
    return torch.stack([resample(volume.permute(2, 1, 0).numpy(), grid, place)[0] for volume in volumes])


def uptake(phases: Mapping[str, torch.Tensor], grid: Grid, places: Sequence[Grid]) -> dict[str, float]:
    """How a lesion takes up contrast: the mean of its core in every phase, on the slice where that changes most.

    Args:
        phases: `(Z, Y, X)` by name, the first first; as the files have them.
        grid: theirs.
        places: the lesion's patches.
    """
    size = places[0].shape[0]
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    disc = torch.from_numpy(np.hypot(rows, columns) <= max(size * _CORE, 1))
    means = torch.stack([fill(phases.values(), grid, place)[:, disc].mean(dim=1) for place in places])
    brightest = means[int((means.amax(dim=1) - means[:, 0]).argmax())]
    return {name: float(f"{value:.6g}") for name, value in zip(phases, brightest.tolist(), strict=True)}
