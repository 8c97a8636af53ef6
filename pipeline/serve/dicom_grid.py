"""A map's voxels and those of DICOM series: which series they are, and its slices in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pipeline.errors import InputError
from transforms.dicom_volumes import scan, split
from transforms.grid import Grid, triple


def series_on(folder: Path, grid: Grid) -> Path:
    """The first volume in time whose voxels are those of a grid, be they counted otherwise.

    Args:
        folder: of an exam, with series in it or below.
        grid: of the map of its answer.

    Returns:
        its name, as `read_series` takes it.

    Raises:
        InputError: there is none.
    """
    found: list[tuple[tuple[Any, ...], str]] = []
    for uid, slices in scan(folder, deep=True).items():
        try:
            volumes = split(folder.name, slices)
        except InputError:  # a localiser, or another that was not asked about
            continue
        for number, volume in enumerate(volumes, start=1):
            if _turn(grid, Grid(volume.shape, volume.affine)) is not None:
                first = volume.first
                times = [first.number(tag) for tag in ("AcquisitionTime", "ContentTime", "SeriesNumber")]
                order = tuple(np.inf if time is None else time for time in times)
                found.append(((*order, uid, number), f"{first.path.parent}#{uid}:{number}"))
    if not found:
        raise InputError(f"{folder.name}: no series lies on the map's grid, {' x '.join(map(str, grid.shape))}; leave "
                         "out --dicom", code="affine_mismatch")
    return Path(min(found)[1])


def on_series(heat: np.ndarray, affine: np.ndarray | None, grid: Grid) -> np.ndarray:
    """A map on the axes of a series: `(columns, rows, slices)`, slices in ascending order along the normal.

    Args:
        heat: `(X, Y, Z)`.
        affine: its voxels to RAS mm; axes in any order and direction. None: it is on the series' own.
        grid: of the series.

    Raises:
        InputError: its voxels are not those of the series.
    """
    shape: Any = tuple(heat.shape)
    own = Grid(shape, grid.affine if affine is None else np.asarray(affine, float))
    turn = _turn(own, grid) if heat.ndim == 3 else None
    if turn is not None:
        return nib.orientations.apply_orientation(heat, turn)
    raise InputError(f"the map's voxels {shape} are not those of the DICOM series {grid.shape}; give the series that "
                     "was asked about", code="affine_mismatch")


def peak_of(heat: np.ndarray) -> tuple[int, int, int] | None:
    """The voxel where a map is hottest; of several, the one nearest to their centroid; None where it is 0."""
    if not (hottest := heat.max()) > 0:
        return None
    voxels = np.argwhere(heat == hottest)
    return triple(voxels[np.linalg.norm(voxels - voxels.mean(axis=0), axis=1).argmin()])


def _turn(grid: Grid, onto: Grid) -> np.ndarray | None:
    """How a grid's axes go onto those of another, as nibabel says it; None where the voxels are not the same."""
    turn = nib.io_orientation(np.linalg.inv(onto.affine) @ grid.affine)
    if np.isnan(turn).any():
        return None
    shape = triple(grid.shape[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3))
    there = Grid(shape, grid.affine @ nib.orientations.inv_ornt_aff(turn, grid.shape))
    return turn if there.matches(onto) else None
