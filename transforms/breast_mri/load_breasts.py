"""An exam on disk to the arrays that the network sees, in one pass over its files.

`LoadBreasts` is the whole preparation. It is used by `prepare.yaml` to write training arrays and by
`inference.yaml` on an exam as a user has it, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.breast_mri.breasts import SIDES, Layout, breast_grids
from transforms.breast_mri.exam_files import T2, read_contrasts, same_grid
from transforms.breast_mri.lesion_masks import lesion_masks
from transforms.breast_mri.motion import ShiftEstimator
from transforms.breast_mri.planes import canonical_view
from transforms.errors import InputError
from transforms.facts import Facts
from transforms.grid import Grid, triple
from transforms.intensity import CONSTANT, tissue_scale
from transforms.resample import resample

_NEGLIGIBLE = 0.02  # voxels; a smaller shift is not worth an interpolation
_SURE = 0.5  # voxels; one estimate finds a shift up to this well enough
_ROUNDS = 4


class LoadBreasts(Transform):
    """Load an exam's contrasts and give its breasts on one grid each.

    Every file is read once. The phases must share one grid; T2 may have its own and is interpolated straight onto
    the breasts' grids. Intensities are divided by one number for all phases, the mean tissue intensity of the
    first, so that enhancement ratios stay as measured and air stays 0 (what padding and rotation fill in); T2 is
    divided by its own. The paper does not say how it normalises; its first layer's instance norm removes offsets.

    Args:
        channels: contrasts in the network's order, e.g. `[pre, post1, post2, post3, post4, t2]`.
        matrix: voxels `(x, y, z)` of the whole exam after resampling; paper: 512×512×32 (§2).
        rows: antero-posterior rows kept; paper: 256 (§2).
        field_of_view: `bilateral` or `single`, see `transforms.breast_mri.breasts.Layout`.
        align: shift each later phase onto the first, every breast by itself (`breast_mri.motion`); the shift becomes
            part of the one interpolation. Ours: the paper does not mention motion.
        sides: breasts that the exam has.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it; not `sides`, which each prepared exam brings.
    """

    def __init__(self, channels: Sequence[str], matrix: Sequence[int] = (512, 512, 32), rows: int = 256,
                 field_of_view: str = "bilateral", align: bool = True, sides: Sequence[str] = SIDES) -> None:
        if not channels or len(set(channels)) != len(channels):
            raise InputError(f"channels {list(channels)} must name each contrast once")
        if len(matrix) != 3 or min(*matrix, rows) < 1 or matrix[0] % 2:
            raise InputError(f"matrix {list(matrix)} and rows {rows} must be positive, matrix[0] even")
        self.channels = tuple(channels)
        self.layout = Layout(triple(matrix), int(rows), field_of_view)
        self.align = bool(align)
        self.sides = tuple(sides)
        self.parameters = {"channels": list(channels), "matrix": list(self.layout.matrix), "rows": self.layout.rows,
                           "field_of_view": field_of_view, "align": self.align}

    def __call__(self, exam: Any, sides: Sequence[str] | None = None,
                 mask: Path | str | None = None) -> MetaTensor:
        """Load one exam.

        Args:
            exam: a mapping contrast to path; a folder that holds one file a contrast; a list of paths in the
                order of `channels`; or one 4D file with the contrasts in that order along its last axis. A 3D file
                `p1.nii.gz` (or any file with as many volumes as there are not channels) stands for the folder
                `p1.exam` beside it, where there is one.
            sides: breasts of this exam, where it differs from the transform's.
            mask: image on the phases' grid, 0 or a lesion's number in each voxel, where there is one.

        Returns:
            `(S, C, X, Y, Z)` float32, breasts in the order of `sides`, as a view of memory in the order
            `(S, C, Z, Y, X)`. Its meta holds `affine` and `spatial_shape` of the exam's own grid, `sides`,
            `breast_affines` (voxel of a breast to RAS mm), and by contrast `scales`, `shifts` (a breast's motion in
            voxels), `digests` and `facts`; with a mask `masks` too, `(S, Z, Y, X)` uint8 on the breasts' grids.

        Raises:
            InputError: a file is missing or damaged, grids differ, voxels are not finite, no body is found, or a mask
                is none.
        """
        sides = tuple(self.sides if sides is None else sides)
        breasts = torch.empty((len(sides), len(self.channels), *self.layout.breast_shape[::-1]))
        grids: dict[str, Grid] = {}
        scales: dict[str, float] = {}
        digests: dict[str, str] = {}
        shifts: dict[str, list[list[float]]] = {}
        exam_grid: Grid | None = None
        still: dict[str, ShiftEstimator] = {}
        facts: dict[str, Facts] = {}
        for contrast, name, image in read_contrasts(exam, self.channels, facts):
            grid = Grid(image.array.shape, image.affine)
            phase = contrast not in T2
            known = next((scales[k] for k in scales if k not in T2), None) if phase else None
            sample = canonical_view(image.array, grid)[::4, ::4]  # one scale, however the file is stored
            try:
                if known is not None and sample.min() == sample.max():
                    raise InputError(CONSTANT, code="constant_image")
                scale = tissue_scale(sample) if known is None else known
                if exam_grid is None:
                    exam_grid, grids = grid, breast_grids(image.array, grid, self.layout, sides)
            except InputError as error:
                raise InputError(f"{name}: {error}", code=error.code) from None
            if phase:
                same_grid(name, grid, exam_grid)
            scales[contrast], digests[contrast] = scale, image.digest
            for s, side in enumerate(sides):
                own = breasts[s, self.channels.index(contrast)]
                resample(image.array, grid, grids[side], out=own)
                own.div_(scale)
                if not (self.align and phase):
                    continue
                if known is None:
                    still[side] = ShiftEstimator(own)
                    continue
                shift = np.zeros(3)
                for _ in range(_ROUNDS):
                    step = still[side](own)
                    if np.abs(step).max() <= _NEGLIGIBLE:
                        break
                    shift += step
                    resample(image.array, grid, grids[side].cropped(shift, grids[side].shape), out=own).div_(scale)
                    if np.abs(step).max() <= _SURE:
                        break
                shifts.setdefault(contrast, []).append([round(float(v), 3) for v in shift])
        assert exam_grid is not None  # `channels` is not empty
        meta = {
            "affine": torch.from_numpy(np.ascontiguousarray(exam_grid.affine)),
            "original_affine": np.ascontiguousarray(exam_grid.affine),
            "spatial_shape": np.asarray(exam_grid.shape),
            "space": "RAS",
            "sides": list(sides),
            "breast_affines": [grids[side].affine for side in sides],
            "scales": scales,
            "shifts": shifts,
            "digests": digests,
            "facts": facts,
        }
        if mask is not None:
            meta["masks"], digests["lesions_mask"] = lesion_masks(mask, exam_grid, [grids[side] for side in sides])
        return MetaTensor(breasts.permute(0, 1, 4, 3, 2), meta=meta)


class LoadBreastsd(MapTransform):
    """Dictionary version of `LoadBreasts`: the exam under each key is replaced by its breasts.

    A key `sides` of the dictionary, where there is one, names the exam's breasts, and a key `mask` the file of its
    lesions' mask, which becomes the breasts' masks, `(S, Z, Y, X)`. The files' facts are put under `facts`, for
    `pipeline.verify.gate.CheckExamd`.
    """

    def __init__(self, keys: KeysCollection, channels: Sequence[str], matrix: Sequence[int] = (512, 512, 32),
                 rows: int = 256, field_of_view: str = "bilateral", align: bool = True,
                 sides: Sequence[str] = SIDES, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.load = LoadBreasts(channels, matrix, rows, field_of_view, align, sides)
        self.parameters = self.load.parameters

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = self.load(result[key], result.get("sides"), result.get("mask"))
            result["facts"] = result[key].meta.pop("facts")
            if "masks" in result[key].meta:
                result["mask"] = result[key].meta.pop("masks")
        return result
