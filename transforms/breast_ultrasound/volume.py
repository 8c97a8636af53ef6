"""Ultrasound volumes as bundles take them: axes in one order, a spacing that can be trusted, intensities 0–1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from transforms.errors import InputError
from transforms.facts import Facts, facts_of
from transforms.grid import Grid, triple, with_spacing
from transforms.load import is_image, read_image
from transforms.resample import resample

AXES = ("lateral", "depth", "sweep")  # of a file, fastest first, and of (X, Y, Z)
_WHITE = 99.9  # percentile that becomes 1 where voxels are not 8 bit


def read_volume(image: Any, axes: Sequence[str] = AXES,
                spacing_mm: Sequence[float] | None = None,
                facts: dict[str, Facts] | None = None) -> tuple[torch.Tensor, Grid, str]:
    """Read one volume.

    8-bit images, what scanners export, are divided by 255; others by their 99.9th percentile, then clipped.

    Args:
        image: its path; a folder, a mapping or a sequence that holds it alone.
        axes: what the file's three axes are.
        spacing_mm: along the file's axes; used where the header has lost it, and only there.
        facts: filled with the image's facts, for `pipeline.verify.gate`.

    Returns:
        voxels `(Z, Y, X)` = (sweep, depth, lateral), float16 0–1; their grid, whose axes are (lateral, depth, sweep);
        SHA-256 of the file.

    Raises:
        InputError: the file is missing, damaged, not 3D or empty, or has no spacing.
    """
    if sorted(axes) != sorted(AXES):
        raise InputError(f"axes {list(axes)} must be {', '.join(AXES)} in the file's order")
    path = _only(image)
    found = read_image(path)
    if found.array.ndim != 3 or min(found.array.shape) < 2:
        shape = " × ".join(map(str, found.array.shape))
        raise InputError(f"{path.name}: {shape} is no volume; give a 3D image", code="not_3d")
    affine = with_spacing(found.affine, spacing_mm, path.name)
    if facts is not None:
        facts["image"] = facts_of(replace(found, affine=affine), path.name)
    order = [list(axes).index(name) for name in AXES]
    array = found.array.transpose(order)
    affine = affine[:, [*order, 3]]
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        raise InputError(f"{path.name}: every voxel is the same, or some are no numbers; convert it again",
                         code="constant")
    voxels = torch.from_numpy(np.ascontiguousarray(array.T))
    if voxels.dtype == torch.uint8:
        voxels = voxels.half().div_(255)
    else:
        white = max(float(np.percentile(array[::4, ::4, ::2], _WHITE)), 1e-6)
        voxels = (voxels.float() / white).clamp_(0, 1).half()
    return voxels, Grid(triple(array.shape), np.ascontiguousarray(affine)), found.digest


def _only(image: Any) -> Path:
    """The one file, or series of DICOM, that is meant.

    Raises:
        InputError: there are several.
    """
    given = list(image.values()) if isinstance(image, Mapping) else image
    given = given if isinstance(given, (list, tuple)) else [given]
    if len(given) == 1 and Path(given[0]).is_dir():
        folder = Path(given[0])
        given = sorted(p for p in folder.iterdir() if p.is_file() and is_image(p)) or [folder]
    if len(given) != 1:
        raise InputError(f"{len(given)} images are given, one volume is expected; name its file", code="not_3d")
    return Path(given[0])


class LoadVolumed(MapTransform):
    """Replace the path of a volume by its voxels `(1, Z, Y, X)`, float16 0–1, a MetaTensor.

    `grid` gets the grid of these voxels, and `volume_grid` the file's, whose axes are in the same order. The image's
    meta holds `original_affine` and `spatial_shape` of the file as it is, and `digests`; the file's facts are put under
    `facts`, for `pipeline.verify.gate.CheckExamd`.

    Args:
        keys: key of the path.
        axes, spacing_mm: as `read_volume`; a `spacing_mm` in the dictionary goes first.
        spacing: mm along (sweep, depth, lateral) that the volume is resampled to; None keeps its own.
    """

    def __init__(self, keys: KeysCollection, axes: Sequence[str] = AXES, spacing_mm: Sequence[float] | None = None,
                 spacing: Sequence[float] | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.axes = tuple(axes)
        self.spacing_mm = spacing_mm
        self.spacing = None if spacing is None else np.asarray(spacing[::-1], float)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            facts: dict[str, Facts] = {}
            given = result.get("spacing_mm") or self.spacing_mm
            voxels, grid, digest = read_volume(result[key], self.axes, given, facts)
            result["volume_grid"] = grid
            file = grid.permuted([AXES.index(name) for name in self.axes])
            if self.spacing is not None:
                shape = np.maximum(np.rint(np.asarray(grid.shape) * grid.spacing / self.spacing), 1)
                finer = grid.resized(triple(shape))
                voxels, grid = resample(voxels.numpy().T, grid, finer).half(), finer
            result[key] = MetaTensor(voxels[None], meta={
                "affine": torch.from_numpy(file.affine), "original_affine": file.affine,
                "spatial_shape": np.asarray(file.shape), "space": "RAS", "digests": {"image": digest}})
            result["grid"], result["facts"] = grid, facts
        return result
