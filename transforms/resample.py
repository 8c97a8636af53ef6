"""Linear resampling from one grid to another, in one step and only where voxels are wanted.

Two grids whose axes are parallel, which is the rule within an exam (the phases, the T2 of the same session, and
every grid made from them by resizing, cropping and flipping), need one pass a axis: plain indexing where voxels
fall on voxels, two neighbours and a weight elsewhere. Other pairs of grids go to `scipy.ndimage`.
"""

from __future__ import annotations

import warnings

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
    plan = []  # (growth, source dimension in the tensor, coordinates along it)
    for i, axis in enumerate(axes):
        at = step[axis, i] * np.arange(target.shape[i]) + step[axis, 3]
        plan.append((target.shape[i] / array.shape[axis], 2 - axis, at))
    for _, dimension, at in sorted(plan, key=lambda entry: entry[0]):  # shrink first, enlarge last
        volume = _interpolate(volume, dimension, at)
    order = [2 - axis for axis in reversed(axes)]  # to (z, y, x) of the target
    return out.copy_(volume.permute(order))


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


def _interpolate(volume: torch.Tensor, dimension: int, at: np.ndarray) -> torch.Tensor:
    """Linear interpolation along one dimension at the coordinates `at`; 0 outside the border voxels' edges."""
    size = volume.shape[dimension]
    whole = np.rint(at)
    inside = (at > -0.5 - _ON_VOXEL) & (at < size - 0.5 + _ON_VOXEL)
    if np.abs(at - whole).max() < _ON_VOXEL:
        result = _take(volume, dimension, whole.clip(0, size - 1).astype(np.int64))
    else:
        at = at.clip(0, size - 1)
        low = np.floor(at).astype(np.int64)
        high = np.minimum(low + 1, size - 1)
        weight = torch.from_numpy((at - low).astype(np.float32))
        if dimension == 0:  # slice by slice: what is read and written stays in the processor's cache
            result = torch.empty((len(at), *volume.shape[1:]), dtype=torch.float32)
            for k in range(len(at)):
                result[k].copy_(volume[low[k]]).lerp_(volume[high[k]].float(), float(weight[k]))
        else:
            weight = weight.reshape([-1 if d == dimension else 1 for d in range(volume.ndim)])
            result = torch.lerp(_take(volume, dimension, low).float(), _take(volume, dimension, high).float(), weight)
    if not inside.all():
        mask = torch.from_numpy(inside).reshape([-1 if d == dimension else 1 for d in range(volume.ndim)])
        result = result * mask
    return result


def _take(volume: torch.Tensor, dimension: int, index: np.ndarray) -> torch.Tensor:
    """`index_select`, without a gather where the indices are a run, up or down."""
    if len(index) > 1 and np.all(np.diff(index) == 1):
        return volume.narrow(dimension, int(index[0]), len(index))
    if len(index) > 1 and np.all(np.diff(index) == -1):
        return volume.narrow(dimension, int(index[-1]), len(index)).flip(dimension)
    return volume.index_select(dimension, torch.from_numpy(index))


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
