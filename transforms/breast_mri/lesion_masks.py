"""Outlines of lesions on the breasts' grids: numbers are never interpolated, and no lesion falls between voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from transforms.breast_mri.exam_files import same_grid
from transforms.errors import InputError
from transforms.grid import Grid
from transforms.load import read_image

_MOST = np.iinfo(np.uint8).max


def lesion_masks(path: Path | str, exam: Grid, grids: Sequence[Grid]) -> tuple[np.ndarray, str]:
    """Read an exam's mask and put it on its breasts' grids.

    Args:
        path: an image on the grid of the phases: 0, or the number of a lesion in each voxel.
        exam: that grid.
        grids: of the breasts, as `transforms.LoadBreasts` makes them. They are the first phase's: what later phases
            moved by is no part of them.

    Returns:
        `(S, Z, Y, X)` uint8, 0 or a lesion's number, and the file's digest.

    Raises:
        InputError: the file is damaged, has another grid, or holds anything but whole numbers from 0 to 255.
    """
    image, name = read_image(path), Path(path).name
    own = Grid(image.array.shape, image.affine)
    same_grid(name, own, exam)
    values = np.unique(image.array)
    if not np.isfinite(values).all() or (values != np.rint(values)).any() or values[0] < 0 or values[-1] > _MOST:
        raise InputError(f"{name}: a lesion mask holds whole numbers from 0 to {_MOST}; export it as labels",
                         code="not_a_mask")
    array = np.ascontiguousarray(image.array.T.astype(np.uint8)).T  # as read_image gives it, (x, y, z)
    centers = {int(n): own.to_world(np.argwhere(array == n).mean(axis=0)) for n in values if n > 0}
    return np.stack([_on(array, own, grid, centers) for grid in grids]), image.digest


def _on(array: np.ndarray, source: Grid, target: Grid, centers: dict[int, np.ndarray]) -> np.ndarray:
    """The nearest voxel's number, `(Z, Y, X)`; a lesion that lies between the target's voxels gets the nearest one."""
    step = np.linalg.inv(source.affine) @ target.affine
    result = np.empty(target.shape[::-1], np.uint8)
    ndimage.affine_transform(array, step[:3, :3], step[:3, 3], target.shape, result.T, order=0, prefilter=False)
    for number, center in centers.items():
        if not (result == number).any() and target.contains(center):
            z, y, x = np.rint(target.to_index(center)).astype(int)[::-1]
            result[z, y, x] = result[z, y, x] or number
    return result
