"""The plane that an exam's slices lie in, by the patient and not by the order in which a file has its voxels."""

from __future__ import annotations

import numpy as np

from transforms.errors import InputError
from transforms.grid import Grid

PLANES = {"axial": (0, 1, 2), "sagittal": (1, 2, 0), "coronal": (0, 2, 1)}  # columns, rows, slices; of x, y, z
_THICKER = 1.5  # times the finest voxel side: from here on a side is the thickness of slices


def slice_grid(grid: Grid, plane: str = "axial") -> Grid:
    """The same voxels with axes along columns, rows and slices, each towards the patient's R, A or S.

    Args:
        grid: an exam's, in any of the 48 orders of its axes.
        plane: `axial`, `sagittal` or `coronal`.

    Raises:
        InputError: no such plane, or the exam's slices lie in another: its voxels are no squares in this one.
    """
    if plane not in PLANES:
        raise InputError(f"acquisition {plane!r}: choose one of {', '.join(PLANES)}")
    canonical = grid.canonical()
    thickest = int(np.argmax(canonical.spacing))
    if thickest != PLANES[plane][2] and canonical.spacing[thickest] > _THICKER * canonical.spacing.min():
        own = next(name for name, axes in PLANES.items() if axes[2] == thickest)
        sides = " × ".join(f"{side:.1f}" for side in canonical.spacing)
        raise InputError(f"its slices are {own} (voxels of {sides} mm along R, A, S), not {plane}; set acquisition to "
                         f"{own} for a study of such exams, or export {plane} slices", code="other_plane")
    return canonical.permuted(PLANES[plane])


def canonical_view(array: np.ndarray, grid: Grid) -> np.ndarray:
    """An array `(X, Y, Z)` on `grid`, seen with axes towards R, A and S; nothing is copied."""
    import nibabel as nib

    return nib.orientations.apply_orientation(array, nib.io_orientation(grid.affine))
