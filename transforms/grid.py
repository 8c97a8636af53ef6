"""Voxel grids: where an array's voxels lie in the patient, and the steps from one grid to another.

No voxel is touched here. A chain of steps (reorient, resize, crop, flip) is one `Grid` in the end, and
`transforms.resample` fills it from the source in a single interpolation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from transforms.errors import InputError


def triple(values: Iterable[float]) -> tuple[int, int, int]:
    """Three whole numbers, as a shape."""
    x, y, z = (int(value) for value in values)
    return x, y, z


@dataclass(frozen=True)
class Grid:
    """A grid of voxels.

    Attributes:
        shape: number of voxels along `(x, y, z)`.
        affine: `(4, 4)`, voxel index `(x, y, z, 1)` to RAS millimetres.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Distance between voxels along `(x, y, z)`, in millimetres."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def to_world(self, index: np.ndarray) -> np.ndarray:
        """Voxel indices `(..., 3)` to RAS millimetres `(..., 3)`."""
        return np.asarray(index, float) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_index(self, world: np.ndarray) -> np.ndarray:
        """RAS millimetres `(..., 3)` to (fractional) voxel indices `(..., 3)`."""
        return (np.asarray(world, float) - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T

    @classmethod
    def of_exam(cls, meta: Mapping[str, Any]) -> Grid:
        """An exam's own grid, from its image's meta: `spatial_shape` and `original_affine`."""
        return cls(triple(meta["spatial_shape"]), np.asarray(meta["original_affine"]))

    def slice_in(self, other: Grid, index: Sequence[float]) -> int:
        """The slice of another grid, counted from 0, that a voxel of this one lies on.

        Slices of the other are counted along that of its axes which this grid's third runs along, whichever way.
        """
        axis = self._axis_in(other)
        at = other.to_index(self.to_world(np.asarray(index, float)))
        return int(np.clip(round(float(at[axis])), 0, other.shape[axis] - 1))

    def slices_of(self, other: Grid) -> int:
        """How many slices of another grid `slice_in` counts."""
        return other.shape[self._axis_in(other)]

    def _axis_in(self, other: Grid) -> int:
        """Which axis of another grid this one's third runs along."""
        return int(np.abs(np.linalg.inv(other.affine[:3, :3]) @ self.affine[:3, 2]).argmax())

    def contains(self, world: np.ndarray) -> bool:
        """Whether a point in RAS millimetres lies in one of the grid's voxels."""
        index = self.to_index(world)
        return bool(np.all(index >= -0.5) and np.all(index < np.asarray(self.shape) - 0.5))

    def canonical(self) -> Grid:
        """The same voxels with axes permuted and flipped to be nearest to R, A, S."""
        orientation = nib.io_orientation(self.affine)
        step = nib.orientations.inv_ornt_aff(orientation, self.shape)
        shape = [self.shape[int(np.flatnonzero(orientation[:, 0] == i)[0])] for i in range(3)]
        return Grid(triple(shape), self.affine @ step)

    def permuted(self, axes: Sequence[int]) -> Grid:
        """The same voxels with axes in another order."""
        return Grid(triple(self.shape[axis] for axis in axes), self.affine[:, [*axes, 3]])

    def resized(self, shape: tuple[int, int, int]) -> Grid:
        """The same field of view (to the voxels' outer edges) in another number of voxels."""
        zoom = np.asarray(self.shape, float) / np.asarray(shape)
        step = np.diag([*zoom, 1.0])
        step[:3, 3] = zoom / 2 - 0.5
        return Grid(triple(shape), self.affine @ step)

    def cropped(self, start: Sequence[float] | np.ndarray, shape: tuple[int, int, int]) -> Grid:
        """A box of the grid; it may reach beyond the grid's border, and start between voxels."""
        step = np.eye(4)
        step[:3, 3] = start
        return Grid(triple(shape), self.affine @ step)

    def flipped(self, axis: int) -> Grid:
        """The same voxels, counted from the other end along one axis."""
        step = np.eye(4)
        step[axis, axis], step[axis, 3] = -1.0, self.shape[axis] - 1.0
        return Grid(self.shape, self.affine @ step)

    def matches(self, other: Grid, tolerance_mm: float = 0.05) -> bool:
        """Whether two grids have the same shape and all corners within `tolerance_mm` of each other."""
        if self.shape != other.shape:
            return False
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij"), -1).reshape(-1, 3)
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tolerance_mm)


def with_spacing(affine: np.ndarray, spacing_mm: Sequence[float] | None, name: str) -> np.ndarray:
    """An affine, with the spacing given where the file's own is a placeholder (steps of 1 mm from the origin).

    Raises:
        InputError: it is a placeholder and no spacing is given.
    """
    if not np.array_equal(np.abs(affine), np.eye(4)):
        return affine
    if spacing_mm is None:
        raise InputError(f"{name}: its header has lost the spacing (1 × 1 × 1 mm from the origin); give spacing_mm in "
                         "the datalist, or --spacing_mm to inference", code="odd_spacing")
    return affine @ np.diag([*map(float, spacing_mm), 1.0])
