"""Linear resampling from one grid to another, in one step and only where voxels are wanted.

Two grids whose axes are parallel, which is the rule within an exam (the phases, the T2 of the same session, and
every grid made from them by resizing, cropping and flipping), need one pass over the slices: two slices are mixed,
then the plane is resampled while it lies in the processor's cache, and the result is written once. Other pairs of
grids go to `scipy.ndimage`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from transforms.grid import Grid

_PARALLEL = 0.05  # a grid counts as parallel where its farthest voxel is less than this many voxels off
_ON_VOXEL = 1e-3  # a coordinate this near to a whole number is that voxel


def resample(array: np.ndarray, source: Grid, target: Grid, out: torch.Tensor | None = None) -> torch.Tensor:
    """Linear interpolation of an image on another grid.

    Args:
        array: voxels on `source`, `(X, Y, Z)` of any real type. Fortran order is read without a copy.
        source: the grid of `array`.
        target: the wanted grid.
        out: where to write the result, float32 `(Z, Y, X)`; a buffer that is used again saves page faults, which
            cost more than the arithmetic.

    Returns:
        float32 `(Z, Y, X)` on `target`, contiguous: the memory layout of prepared arrays. Beyond the outer
        edges of the source's border voxels the value is 0.
    """
    step = np.linalg.inv(source.affine) @ target.affine  # target index -> source index
    axes = _parallel_axes(step[:3, :3], target.shape)
    if out is None:
        out = torch.empty(target.shape[::-1], dtype=torch.float32)
    if axes is None:
        return out.copy_(_oblique(array, step, target.shape))
    volume = _as_tensor(array.T)  # (z, y, x) of the source
    lines = [_line(step[axis, i] * np.arange(target.shape[i]) + step[axis, 3], array.shape[axis])
             for i, axis in enumerate(axes)]
    slices, rows, columns = (lines[axes.index(axis)] for axis in (2, 1, 0))
    planes = out.permute([2 - axes.index(axis) for axis in (2, 1, 0)])  # the target in the source's order of axes
    if not all(line.whole for line in lines):
        out.zero_()
    if any(line.at.size == 0 for line in lines):
        return out
    volume = volume[:, rows.source, columns.source]
    planes = planes[slices.target, rows.target, columns.target]
    flips = [dimension for dimension, line in enumerate((rows, columns)) if line.reverse]
    for k, at in enumerate(slices.at.tolist()):
        low = int(at)
        plane = volume[low].float()
        if at > low:
            plane = torch.lerp(plane, volume[low + 1].float(), at - low)
        plane = columns(rows(plane, 0), 1)
        planes[len(slices.at) - 1 - k if slices.reverse else k] = plane.flip(flips) if flips else plane
    return out


@dataclass(frozen=True)
class _Line:
    """Interpolation along one axis: which source voxels the target's voxels lie between.

    Attributes:
        at: source coordinates of the target's voxels inside the source, ascending.
        target: those voxels.
        source: the source voxels they need.
        reverse: the target runs against the source.
        whole: every voxel of the target is inside.
        share: of the right neighbour, where it is the same for all; else `matrix` holds the weights.
        matrix: `(targets, sources)`; two weights a row, and a product is faster than gathering.
    """

    at: np.ndarray
    target: slice
    source: slice
    reverse: bool
    whole: bool
    share: float = 0.0
    matrix: torch.Tensor | None = None

    def __call__(self, plane: torch.Tensor, dimension: int) -> torch.Tensor:
        """Interpolate a plane of the needed source voxels along one of its dimensions."""
        if self.matrix is not None:
            return self.matrix @ plane if dimension == 0 else plane @ self.matrix.T
        if not self.share:
            return plane
        count = len(self.at)
        return torch.lerp(plane.narrow(dimension, 0, count), plane.narrow(dimension, 1, count), self.share)


def _line(at: np.ndarray, size: int) -> _Line:
    """The interpolation at the coordinates `at`, evenly spaced, along an axis of `size` voxels."""
    inside = np.flatnonzero((at > -0.5 - _ON_VOXEL) & (at < size - 0.5 + _ON_VOXEL))
    reverse = len(at) > 1 and at[-1] < at[0]
    chosen = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
    whole = inside.size == at.size
    at = at[chosen].clip(0, size - 1)
    at = at[::-1] if reverse else at
    if inside.size == 0:
        return _Line(at, chosen, slice(0, 0), reverse, whole)
    if np.abs(at - np.rint(at)).max() < _ON_VOXEL:
        at = np.rint(at)
    first, last = int(at[0]), int(np.ceil(at[-1]))
    source, local = slice(first, last + 1), at - first
    if np.ptp(local - np.arange(local.size)) < 1e-6:
        return _Line(at, chosen, source, reverse, whole, share=float(local[0]))
    matrix = 1 - np.abs(local[:, None] - np.arange(last - first + 1))
    return _Line(at, chosen, source, reverse, whole, matrix=torch.from_numpy(matrix.clip(0).astype(np.float32)))


def _as_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor on the array's memory where torch can hold it, else on a copy (float32 for types it lacks)."""
    if array.dtype in (np.uint16, np.uint32, np.uint64, np.float16) or array.dtype.itemsize > 4:
        array = np.asarray(array, np.float32)
    if min(array.strides, default=1) < 0:
        array = np.ascontiguousarray(array)
    with warnings.catch_warnings():  # voxels straight from a file's bytes are read-only, and only read here
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _parallel_axes(matrix: np.ndarray, shape: tuple[int, int, int]) -> list[int] | None:
    """The source axis that each target axis runs along; None where the grids are oblique to each other."""
    axes = [int(np.argmax(np.abs(matrix[:, i]))) for i in range(3)]
    if sorted(axes) != [0, 1, 2]:
        return None
    stray = np.abs(matrix) * np.asarray(shape)
    stray[axes, range(3)] = 0.0
    return axes if stray.sum(axis=1).max() < _PARALLEL else None


def _oblique(array: np.ndarray, step: np.ndarray, shape: tuple[int, int, int]) -> torch.Tensor:
    result = np.empty(shape[::-1], np.float32)
    ndimage.affine_transform(np.asarray(array, np.float32), step[:3, :3], step[:3, 3], shape, result.T, order=1,
                             mode="nearest", prefilter=False)
    x, y, z = (np.arange(n, dtype=np.float32) for n in shape)
    for axis in range(3):  # `nearest` extends the border without end: cut it at the border voxels' outer edge
        at = (step[axis, 0] * x)[None, None, :] + (step[axis, 1] * y)[None, :, None] + (
            step[axis, 2] * z + step[axis, 3])[:, None, None]
        result[(at < -0.5) | (at > array.shape[axis] - 0.5)] = 0.0
    return torch.from_numpy(result)
