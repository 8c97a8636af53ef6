"""Resampling from one grid to another, in one step and only where voxels are wanted: no lesion falls between slices.

Where an axis grows, a voxel is interpolated linearly between its two neighbours. Where it shrinks, a voxel is the mean
of the source over its own extent, each source voxel weighed by the part of it that lies inside: interpolation would
look at two slices of many, lose what lies between them and keep all the noise. At equal spacing both are the same.

Two grids whose axes are parallel, which is the rule within an exam (the phases, the T2 of the same session, and
every grid made from them by resizing, cropping and flipping), need one pass over the slices: slices are mixed,
then the plane is resampled while it lies in the processor's cache, and the result is written once. Other pairs of
grids go to `scipy.ndimage`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from transforms.grid import Grid, triple

_PARALLEL = 0.05  # a grid counts as parallel where its farthest voxel is less than this many voxels off
_ON_VOXEL = 1e-3  # a coordinate this near to a whole number is that voxel
_COARSE = 1.25  # source voxels a target voxel, from which on an oblique pair is shrunk first


def resample(array: np.ndarray, source: Grid, target: Grid, out: torch.Tensor | None = None) -> torch.Tensor:
    """An image on another grid: linear where an axis grows, the mean over each voxel's extent where it shrinks.

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
        return out.copy_(_oblique(array, source, target))
    volume = _as_tensor(array.T)  # (z, y, x) of the source
    lines = [_line(step[axis, i] * np.arange(target.shape[i]) + step[axis, 3], abs(step[axis, i]), array.shape[axis])
             for i, axis in enumerate(axes)]
    slices, rows, columns = (lines[axes.index(axis)] for axis in (2, 1, 0))
    planes = out.permute([2 - axes.index(axis) for axis in (2, 1, 0)])  # the target in the source's order of axes
    if not all(line.whole for line in lines):
        out.zero_()
    if not all(line.count for line in lines):
        return out
    volume = volume[slices.source, rows.source, columns.source]
    planes = planes[slices.target, rows.target, columns.target]
    flips = [dimension for dimension, line in enumerate((rows, columns)) if line.reverse]
    for k, plane in enumerate(_mixed(volume, slices)):
        plane = columns(rows(plane, 0), 1)
        planes[slices.count - 1 - k if slices.reverse else k] = plane.flip(flips) if flips else plane
    return out


def _mixed(volume: torch.Tensor, line: _Line) -> Iterator[torch.Tensor]:
    """Planes float32 of the target, from the source's planes that the line needs."""
    for first, weights in line.taps():
        plane = volume[first].float()
        if len(weights) == 2:
            plane = torch.lerp(plane, volume[first + 1].float(), weights[1])
        elif len(weights) > 2:
            plane = plane * weights[0]
            for i, weight in enumerate(weights[1:], start=first + 1):
                plane.add_(volume[i].float(), alpha=weight)
        yield plane


@dataclass(frozen=True)
class _Line:
    """Resampling along one axis: which source voxels the target's voxels are made of.

    Attributes:
        count: voxels of the target inside the source.
        target: those voxels.
        source: the source voxels they need.
        reverse: the target runs against the source; weights ascend along the source.
        whole: every voxel of the target is inside.
        share: of the right neighbour, where it is the same for all; else `matrix` holds the weights.
        matrix: `(targets, sources)`; few weights a row, and a product is faster than gathering.
    """

    count: int
    target: slice
    source: slice
    reverse: bool
    whole: bool
    share: float = 0.0
    matrix: torch.Tensor | None = None

    def __call__(self, plane: torch.Tensor, dimension: int) -> torch.Tensor:
        """Resample a plane of the needed source voxels along one of its dimensions."""
        if self.matrix is not None:
            return self.matrix @ plane if dimension == 0 else plane @ self.matrix.T
        if not self.share:
            return plane
        return torch.lerp(plane.narrow(dimension, 0, self.count), plane.narrow(dimension, 1, self.count), self.share)

    def taps(self) -> Iterator[tuple[int, list[float]]]:
        """First source voxel and the weights of each voxel of the target."""
        if self.matrix is None:
            for k in range(self.count):
                yield k, [1 - self.share, self.share] if self.share else [1.0]
            return
        for row in self.matrix.numpy():
            used = np.flatnonzero(row)
            yield int(used[0]), row[used[0] : used[-1] + 1].tolist()


def _line(at: np.ndarray, extent: float, size: int) -> _Line:
    """Resampling at the coordinates `at`, `extent` source voxels apart, along an axis of `size` voxels."""
    inside = np.flatnonzero((at > -0.5 - _ON_VOXEL) & (at < size - 0.5 + _ON_VOXEL))
    reverse = len(at) > 1 and at[-1] < at[0]
    chosen = slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
    common = (inside.size, chosen)
    if not inside.size:
        return _Line(*common, slice(0, 0), reverse, at.size == 0)
    whole = inside.size == at.size
    at = at[chosen].clip(0, size - 1)
    at = at[::-1] if reverse else at
    if np.abs(at - np.rint(at)).max() < _ON_VOXEL:
        at = np.rint(at)
    if extent > 1 + _ON_VOXEL:
        weights = _overlap(at, extent, size)
    elif np.ptp(at - np.arange(at.size)) < 1e-6:
        return _Line(*common, slice(int(at[0]), int(np.ceil(at[-1])) + 1), reverse, whole, share=float(at[0] % 1))
    else:
        weights = (1 - np.abs(at[:, None] - np.arange(size))).clip(0)
    used = np.flatnonzero(weights.any(axis=0))
    source = slice(int(used[0]), int(used[-1]) + 1)
    return _Line(*common, source, reverse, whole, matrix=torch.from_numpy(weights[:, source].astype(np.float32)))


def _overlap(at: np.ndarray, extent: float, size: int) -> np.ndarray:
    """Part of each source voxel, `(targets, size)`, in the extent of the target's voxels; a row adds up to 1."""
    low, high = at[:, None] - extent / 2, at[:, None] + extent / 2
    voxel = np.arange(size)
    parts = (np.minimum(high, voxel + 0.5) - np.maximum(low, voxel - 0.5)).clip(0)
    parts[parts < _ON_VOXEL] = 0
    return parts / parts.sum(axis=1, keepdims=True)


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


def _oblique(array: np.ndarray, source: Grid, target: Grid) -> torch.Tensor:
    """By scipy, linearly; an axis that the target samples too coarsely is shrunk first, along itself."""
    step = np.linalg.inv(source.affine) @ target.affine
    coarser = np.linalg.norm(step[:3, :3], axis=1)
    fitting = [max(round(n / c), 1) if c > _COARSE else n for n, c in zip(source.shape, coarser, strict=True)]
    if fitting != list(source.shape):
        smaller = source.resized(triple(fitting))
        array, source = resample(array, source, smaller).permute(2, 1, 0).numpy(), smaller
        step = np.linalg.inv(source.affine) @ target.affine
    shape = target.shape
    result = np.empty(shape[::-1], np.float32)
    ndimage.affine_transform(np.asarray(array, np.float32), step[:3, :3], step[:3, 3], shape, result.T, order=1,
                             mode="nearest", prefilter=False)
    x, y, z = (np.arange(n, dtype=np.float32) for n in shape)
    for axis in range(3):  # `nearest` extends the border without end: cut it at the border voxels' outer edge
        at = (step[axis, 0] * x)[None, None, :] + (step[axis, 1] * y)[None, :, None] + (
            step[axis, 2] * z + step[axis, 3])[:, None, None]
        result[(at < -0.5) | (at > array.shape[axis] - 0.5)] = 0.0
    return torch.from_numpy(result)
