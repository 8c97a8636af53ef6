"""Patches around lesions on the slices that they cover, in every contrast (contrast transfer, §2.2)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from transforms.breast_mri.exam_files import T2, read_contrasts, same_grid
from transforms.breast_mri.patches import (
    PatchSize,
    Spot,
    fill,
    holds_another,
    reaches_over,
    spots_around,
    spots_in_mask,
    uptake,
)
from transforms.breast_mri.planes import PLANES, canonical_view, slice_grid
from transforms.errors import InputError
from transforms.facts import Facts
from transforms.grid import Grid
from transforms.intensity import tissue_scale
from transforms.load import read_image
from transforms.n4 import N4BiasFieldCorrection
from transforms.resample import resample

CONTRASTS = ("pre", "post1", "post2", "post3", "post4", "sub", "t2")  # Fig. 1
PHASES = CONTRASTS[:5]
_DIRECTIONS = ("post1-pre", "pre-post1")


class LoadLesionSlices(Transform):
    """Load an exam's contrasts and cut patches of one size around each lesion, on every slice that it covers.

    T2 is brought onto the grid of the phases. All phases share one bias field and one scale, the mean tissue intensity
    of the first, so that enhancement ratios, which the label lies in, stay as the files have them; T2 has its own.
    Subtraction comes after both and keeps its ratio to `pre`.

    With `shared=None` each contrast has a field and a scale of its own, as the paper's; enhancement moves with them.

    Patches lie in the patient: axes towards R, A and S whatever the order in which a file has its voxels.

    Args:
        channels: contrasts in the order wanted; `sub` is made from `pre` and `post1`.
        size: voxels of a patch in plane; paper: 50.
        size_mm: side of a patch in mm, which `size` voxels are made of by one interpolation; None cuts `size` of the
            exam's own voxels, as the paper.
        extent: mm in which a lesion is taken to reach above and below its centre where there is no mask.
        subtraction: `post1-pre`, what readers look at, or `pre-post1`, as §2.1 has it to the letter.
        acquisition: plane of the exams' slices, in which patches are cut: `axial` (paper), `sagittal` or `coronal`.
        shrink_factor, iterations: of the bias correction; no iterations leave the images as they are.
        shared: contrast whose bias field serves all phases; an exam without it takes the nearest in time. None: each
            contrast its own field and scale.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it.
    """

    def __init__(self, channels: Sequence[str] = CONTRASTS, size: int = 50, size_mm: float | None = None,
                 extent: float = 10.0, subtraction: str = "post1-pre", acquisition: str = "axial",
                 shrink_factor: Sequence[int] = (4, 4, 1), iterations: Sequence[int] = (50, 50, 50, 50),
                 shared: str | None = "post2") -> None:
        unknown = [c for c in channels if c not in CONTRASTS]
        if unknown or len(set(channels)) != len(channels) or not channels:
            raise InputError(f"channels {list(channels)} must be some of {', '.join(CONTRASTS)}, each once")
        if subtraction not in _DIRECTIONS:
            raise InputError(f"subtraction {subtraction!r}: choose {' or '.join(_DIRECTIONS)}")
        if size < 2 or extent < 0 or (size_mm is not None and not size_mm > 0):
            raise InputError(f"size {size} must be at least 2 voxels, extent {extent} not negative, size_mm {size_mm} "
                             "above 0 or null")
        if shared is not None and shared not in PHASES:
            raise InputError(f"shared {shared!r}: choose one of {', '.join(PHASES)}, or null for a field each")
        self.channels = tuple(channels)
        self.size = PatchSize(int(size), size_mm)
        self.extent = float(extent)
        self.sign = 1.0 if subtraction == "post1-pre" else -1.0
        self.acquisition = acquisition
        self.iterations = list(iterations)
        self.shared = shared
        self.correct = N4BiasFieldCorrection(tuple(shrink_factor), self.iterations or [0], return_log_field=True)
        self.parameters = {"channels": list(channels), "patch_size": self.size.voxels, "patch_mm": size_mm,
                           "acquisition": acquisition, "extent": self.extent, "subtraction": subtraction,
                           "shrink_factor": list(shrink_factor), "iterations": self.iterations, "shared": shared}

    @property
    def read(self) -> list[str]:
        """Contrasts that are read, the phases in time."""
        wanted = set(self.channels) | ({"pre", "post1"} if "sub" in self.channels else set())
        wanted |= {self.shared} if self.shared else set()
        return [c for c in CONTRASTS if c in wanted and c != "sub"]

    def __call__(self, exam: Any, lesions: Sequence[tuple[str, Sequence[float]]],  # type: ignore[override]
                 mask: Any = None) -> MetaTensor:
        """Load one exam.

        Args:
            exam: as `transforms.LoadBreasts` takes it; as a mapping it may lack contrasts, which are 0 then and
                named in `missing`.
            lesions: id and centre `(x, y, z)` in RAS mm of each.
            mask: image on the phases' grid, 0 or the id of a lesion in each voxel; None: centres and `extent`.

        Returns:
            the exam's contrasts, `(C, columns, rows, slices)` float32 in memory order `(C, slices, rows, columns)`,
            normalised, axes towards R, A and S. Its meta holds `affine`, the exam's own `original_affine` and
            `spatial_shape`, `digests`, `patches` (id to `(slices, C, rows, columns)`), `places` (id to the `Grid` of
            each patch), `curves` (id to the mean of each phase in the lesion's core, as the files have it), and how
            many patches were `left_out` for holding several lesions or `padded` with 0 at the border.

        Raises:
            InputError: an image is missing or damaged, slices in another plane than `acquisition`, a mask without the
                lesion, a centre outside the image.
        """
        facts: dict[str, Facts] = {}
        volumes, source, digests = self._read(exam, facts)
        grid = slice_grid(source, self.acquisition)
        spots, drawn = {}, None
        if mask is not None:
            drawing = read_image(mask)
            own = Grid(drawing.array.shape, drawing.affine)
            same_grid("the lesion mask", own, source)
            drawn = canonical_view(drawing.array, own).transpose(PLANES[self.acquisition])
            digests["lesions_mask"] = drawing.digest
        for name, center in lesions:
            if not grid.contains(np.asarray(center, float)):
                raise InputError(f"lesion {name}: its centre lies outside the image; correct it (RAS millimetres)",
                                 code="center_outside")
            spots[str(name)] = (spots_in_mask(drawn, str(name)) if drawn is not None else
                                spots_around(grid.to_index(np.asarray(center, float)), grid, self.extent))
        phases = {name: volumes[name] for name in PHASES if name in volumes}
        curves = {name: uptake(phases, grid, [self.size.at(spot, grid) for spot in own])
                  for name, own in spots.items()}
        self._normalise(volumes)
        empty = torch.zeros(grid.shape[::-1])
        images = torch.stack([volumes.get(c, empty) for c in self.channels])
        affine = torch.from_numpy(np.ascontiguousarray(grid.affine))
        meta = {"affine": affine, "original_affine": np.ascontiguousarray(source.affine),
                "spatial_shape": np.asarray(source.shape), "space": "RAS", "digests": digests, "curves": curves,
                "facts": facts, "missing": [c for c in self.channels if c not in volumes]}
        return MetaTensor(images.permute(0, 3, 2, 1), meta={**meta, **self._cut(images, grid, spots, drawn)})

    def _read(self, exam: Any,
              facts: dict[str, Facts]) -> tuple[dict[str, torch.Tensor], Grid, dict[str, str]]:
        """All contrasts `(Z, Y, X)` on the slices of the first phase, that phase's own grid, and the files' digests."""
        volumes: dict[str, torch.Tensor] = {}
        digests: dict[str, str] = {}
        source: Grid | None = None
        read = [c for c in self.read if not isinstance(exam, Mapping) or c in exam]
        if not set(read) - set(T2):
            raise InputError("no T1 phase at all; at least one is needed", code="missing_phase")
        for contrast, name, image in read_contrasts(exam, read, facts):
            own = Grid(image.array.shape, image.affine)
            source = source or own
            if contrast not in T2:
                same_grid(name, own, source)
            digests[contrast] = image.digest
            try:
                tissue_scale(canonical_view(image.array, own)[::4, ::4])  # refuses what is constant
                volumes[contrast] = resample(image.array, own, slice_grid(source, self.acquisition))
            except InputError as error:
                raise InputError(f"{name}: {error}", code=error.code) from None
        assert source is not None
        return volumes, source, digests

    def _normalise(self, volumes: dict[str, torch.Tensor]) -> None:
        """Correct, divide by tissue and subtract in place: all phases by one field and scale, or each by its own."""
        phases = [c for c in volumes if c not in T2]
        together: dict[str, str] = {}
        if self.shared is not None:  # of the phases in time, the nearest to the wanted one that the exam has
            wanted = PHASES.index(self.shared)
            together = dict.fromkeys(phases, min(phases, key=lambda c: abs(PHASES.index(c) - wanted)))
        if self.iterations:
            sources = {c: together.get(c, c) for c in volumes}
            fields = {c: torch.exp(-self._field(volumes[c])) for c in set(sources.values())}
            for contrast, volume in volumes.items():
                volume.mul_(fields[sources[contrast]])
        scales = {c: tissue_scale(v[:, ::4, ::4].numpy()) for c, v in volumes.items()}
        for contrast, volume in volumes.items():
            volume.div_(scales[phases[0] if contrast in together else contrast])
        if "sub" in self.channels and {"pre", "post1"} <= set(volumes):
            volumes["sub"] = self.sign * (volumes["post1"] - volumes["pre"])

    def _field(self, volume: torch.Tensor) -> torch.Tensor:
        return self.correct(volume.permute(2, 1, 0)[None])[1][0].permute(2, 1, 0)

    def _cut(self, images: torch.Tensor, grid: Grid, spots: Mapping[str, Sequence[Spot]],
             mask: np.ndarray | None) -> dict[str, Any]:
        """Patches of `images` `(C, Z, Y, X)`; those that hold another lesion, or its middle, are left out."""
        patches: dict[str, torch.Tensor] = {}
        places: dict[str, list[Grid]] = {}
        left_out = padded = 0
        for name, own in spots.items():
            wanted = [self.size.at(spot, grid) for spot in own]
            kept = [place for place in wanted if not holds_another(place, grid, name, spots, mask)]
            left_out += len(wanted) - len(kept)
            padded += sum(reaches_over(place, grid) for place in kept)
            if not kept:
                continue
            patches[name], places[name] = torch.stack([fill(images, grid, place) for place in kept]), kept
            for place, patch in zip(kept, patches[name], strict=True):
                if patch.abs().max() == 0:
                    z = grid.to_index(place.to_world(np.zeros(3)))[2]
                    raise InputError(f"lesion {name}: slice {z:.0f} is all zero around it; correct the images or its "
                                     "centre", code="zero_slice")
        return {"patches": patches, "places": places, "left_out": left_out, "padded": padded}


class LoadLesionSlicesd(Transform):
    """Dictionary version: takes `image` (the exam), `lesions`, and `mask` where there is one.

    Gives `image`, and `patches`, `places`, `curves` and `facts` from its meta.

    Args:
        options: of `LoadLesionSlices`.
    """

    def __init__(self, **options: Any) -> None:
        self.load = LoadLesionSlices(**options)
        self.parameters = self.load.parameters

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = self.load(data["image"], data["lesions"], data.get("mask"))
        kept: dict[Hashable, Any] = {name: image.meta[name] for name in ("patches", "places", "curves")}
        return {**data, "image": image, **kept, "facts": image.meta.pop("facts")}
