"""From one bilateral exam to its two breasts: find them, crop, split, one orientation.

The paper (multi-scale curriculum, §2 and §3.1) resamples an exam to 512×512×32 voxels, removes air and thorax
(512×256×32) and feeds each breast on its own (256×256×32). How it finds the crop and the split is not released;
here both follow from the outline of the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from transforms.errors import InputError
from transforms.grid import Grid, triple
from transforms.intensity import air_threshold
from transforms.resample import resample

SIDES = ("L", "R")
_COARSE = (96, 96, 16)  # voxels (x, y, z) of the image on which the outline is found
_AIR = 1 / 32  # rows of air kept in front of the breasts, as a part of the rows kept
_BEHIND = 3 / 8  # rows kept behind the skin over the sternum: at the paper's size 58 mm, for what lies beside the chest


@dataclass(frozen=True)
class Layout:
    """Sizes of the preparation, in voxels.

    Attributes:
        matrix: `(x, y, z)` of the whole exam after resampling.
        rows: antero-posterior rows kept by the crop.
        field_of_view: `bilateral` (an axial exam of both breasts) or `single` (the image is one breast as it
            lies: no crop, no split; for exams of one side and for parts of images).
    """

    matrix: tuple[int, int, int] = (512, 512, 32)
    rows: int = 256
    field_of_view: str = "bilateral"

    @property
    def breast_shape(self) -> tuple[int, int, int]:
        """`(x, y, z)` of one breast."""
        return (self.matrix[0] // 2, self.rows, self.matrix[2])


def breast_grids(array: np.ndarray, source: Grid, layout: Layout, sides: tuple[str, ...] = SIDES) -> dict[str, Grid]:
    """The grid of each breast, from one image of the exam.

    Axes of every breast: x from the midline to the outer side, y from posterior to anterior, z from inferior to
    superior, so that a left breast is the mirror image of a right one and one network serves both.

    Args:
        array: the image that shows the body's outline, T1 before contrast: `(X, Y, Z)`.
        source: its grid.
        layout: the sizes wanted.
        sides: breasts that the exam has.

    Returns:
        side to grid. A grid may reach beyond the image, where `resample` fills in 0.

    Raises:
        InputError: no body can be made out.
    """
    if layout.field_of_view == "single":
        grid = source.canonical().resized(layout.breast_shape)
        return {side: grid.flipped(0) if side == "L" else grid for side in sides}
    if layout.field_of_view != "bilateral":
        raise InputError(f"field_of_view is {layout.field_of_view!r}; use 'bilateral' or 'single'")
    exam = source.canonical().resized(layout.matrix)
    middle, front, sternum = _outline(array, source, exam)
    half, rows, slices = layout.breast_shape
    start = max(sternum - round(rows * _BEHIND), front + 1 + round(rows * _AIR) - rows)  # the breast comes first
    start = min(max(start, 0), max(layout.matrix[1] - rows, 0))
    right = exam.cropped((middle, start, 0), (half, rows, slices))  # RAS: x grows to the patient's right
    left = exam.cropped((middle - half, start, 0), (half, rows, slices)).flipped(0)
    grids = {"L": left, "R": right}
    return {side: grids[side] for side in sides}


def _outline(array: np.ndarray, source: Grid, exam: Grid) -> tuple[int, int, int]:
    """First column right of the midline, foremost row of tissue, row of the skin over the sternum, in `exam`."""
    shape = triple(min(c, n) for c, n in zip(_COARSE, exam.shape, strict=True))
    coarse = resample(array, source, exam.resized(shape)).numpy()  # (z, y, x)
    coarse = ndimage.gaussian_filter(coarse, (0, 1, 1))
    body = coarse > air_threshold(coarse)
    labels, count = ndimage.label(body)
    if not count or not body.any() or body.all():
        raise InputError("no body can be made out against air; check the first contrast, or set "
                         "field_of_view to 'single'", code="no_body")
    body = labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1
    present = body.any(axis=1)  # (z, x)
    height = np.where(present, body.shape[1] - 1 - body[:, ::-1].argmax(axis=1), -1)
    front = int(np.percentile(height.max(axis=0), 99.5))
    middle_slices = height[shape[2] // 4 : max(shape[2] * 3 // 4, shape[2] // 4 + 1)]
    profile = ndimage.gaussian_filter1d(np.median(middle_slices, axis=0).astype(float), 1.5)
    columns = np.flatnonzero(present.any(axis=0))
    center, width = (columns[0] + columns[-1]) / 2, columns[-1] - columns[0] + 1
    # The midline is where the outline is lowest between the breasts: over the sternum.
    search = np.arange(max(int(center - width / 6), 0), min(int(center + width / 6) + 1, shape[0]))
    lowest = search[profile[search] <= profile[search].min() + 0.5]
    middle = float(lowest.mean())
    zoom = np.asarray(exam.shape) / np.asarray(shape)
    return (round((middle + 0.5) * zoom[0]), int(np.ceil((front + 1) * zoom[1])) - 1,
            round(float(profile[lowest].mean()) * float(zoom[1])))
