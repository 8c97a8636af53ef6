"""Axial patches around lesions, in every contrast (contrast transfer, §2.2)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from transforms.breast_mri.exam_files import T2, read_contrasts, same_grid
from transforms.errors import InputError
from transforms.grid import Grid
from transforms.intensity import tissue_scale
from transforms.load import read_image
from transforms.n4 import N4BiasFieldCorrection
from transforms.resample import resample

CONTRASTS = ("pre", "post1", "post2", "post3", "post4", "sub", "t2")  # Fig. 1
_DIRECTIONS = ("post1-pre", "pre-post1")


class LoadLesionSlices(Transform):
    """Load an exam's contrasts and cut patches of one size around each lesion, on every slice that it covers.

    T2 is brought onto the grid of the phases. Each contrast's bias field is corrected (`N4BiasFieldCorrection`), then
    its intensities are divided by its mean tissue intensity: the paper's "fixed range", one for all phases where they
    share one field. Subtraction comes after both.

    Args:
        channels: contrasts in the order wanted; `sub` is made from `pre` and `post1`.
        size: voxels of a patch in plane; paper: 50.
        extent: mm in which a lesion is taken to reach above and below its centre where there is no mask.
        subtraction: `post1-pre`, what readers look at, or `pre-post1`, as §2.1 has it to the letter.
        shrink_factor, iterations: of the bias correction; no iterations leave the images as they are.
        shared: contrast whose bias field serves all phases; None: each its own, as the paper.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it.
    """

    def __init__(self, channels: Sequence[str] = CONTRASTS, size: int = 50, extent: float = 10.0,
                 subtraction: str = "post1-pre", shrink_factor: Sequence[int] = (4, 4, 1),
                 iterations: Sequence[int] = (50, 50, 50, 50), shared: str | None = None) -> None:
        unknown = [c for c in channels if c not in CONTRASTS]
        if unknown or len(set(channels)) != len(channels) or not channels:
            raise InputError(f"channels {list(channels)} must be some of {', '.join(CONTRASTS)}, each once")
        if subtraction not in _DIRECTIONS:
            raise InputError(f"subtraction {subtraction!r}: choose {' or '.join(_DIRECTIONS)}")
        if size < 2 or extent < 0:
            raise InputError(f"size {size} must be at least 2 voxels and extent {extent} not negative")
        self.channels = tuple(channels)
        self.size = int(size)
        self.extent = float(extent)
        self.sign = 1.0 if subtraction == "post1-pre" else -1.0
        self.iterations = list(iterations)
        self.shared = shared
        self.correct = N4BiasFieldCorrection(tuple(shrink_factor), self.iterations or [0], return_log_field=True)
        self.parameters = {"channels": list(channels), "patch_size": self.size, "extent": self.extent,
                           "subtraction": subtraction, "shrink_factor": list(shrink_factor),
                           "iterations": self.iterations, "shared": shared}

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
            the exam's contrasts, `(C, X, Y, Z)` float32 in memory order `(C, Z, Y, X)`, normalised; its meta holds
            `affine`, `digests`, `patches` (id to `(slices, C, size, size)`, rows y, columns x), `places` (id to the
            `(x, y, z)` of each patch's first voxel), and how many patches were `left_out` for holding several
            lesions or `padded` with 0 at the border.

        Raises:
            InputError: an image is missing or damaged, a mask without the lesion, a centre outside the image.
        """
        images, grid, digests, missing = self._images(exam)
        affine = np.ascontiguousarray(grid.affine)
        meta: dict[str, Any] = {"affine": torch.from_numpy(affine), "original_affine": affine,
                                "spatial_shape": np.asarray(grid.shape), "space": "RAS", "digests": digests,
                                "missing": missing}
        centers = {str(name): grid.to_index(np.asarray(center, float)) for name, center in lesions}
        for name, center in lesions:
            if not grid.contains(np.asarray(center, float)):
                raise InputError(f"lesion {name}: its centre lies outside the image; correct it (RAS millimetres)",
                                 code="center_outside")
        drawn: np.ndarray | None = None
        if mask is None:
            covered = {name: self._around(center, grid) for name, center in centers.items()}
        else:
            drawing = read_image(mask)
            same_grid("the lesion mask", Grid(drawing.array.shape, drawing.affine), grid)
            drawn, digests["lesions_mask"] = drawing.array, drawing.digest
            covered = {name: self._in_mask(drawn, name) for name in centers}
        meta |= self._cut(images, covered, drawn)
        return MetaTensor(images.permute(0, 3, 2, 1), meta=meta)

    def _images(self, exam: Any) -> tuple[torch.Tensor, Grid, dict[str, str], list[str]]:
        """All channels `(C, Z, Y, X)`, corrected and normalised, on the grid of the first phase."""
        volumes: dict[str, torch.Tensor] = {}
        digests: dict[str, str] = {}
        grid: Grid | None = None
        read = [c for c in self.read if not isinstance(exam, Mapping) or c in exam]
        if not set(read) - set(T2):
            raise InputError("no T1 phase at all; at least one is needed", code="missing_phase")
        for contrast, name, image in read_contrasts(exam, read):
            own = Grid(image.array.shape, image.affine)
            if contrast not in T2:
                same_grid(name, own, grid := grid or own)
            elif grid is None:
                grid = own
            digests[contrast] = image.digest
            try:
                tissue_scale(image.array[::4, ::4])  # refuses what is constant
                volumes[contrast] = resample(image.array, own, grid)
            except InputError as error:
                raise InputError(f"{name}: {error}", code=error.code) from None
        assert grid is not None
        self._unbias(volumes)
        if "sub" in self.channels and {"pre", "post1"} <= set(volumes):
            volumes["sub"] = self.sign * (volumes["post1"] - volumes["pre"])
        empty = torch.zeros(grid.shape[::-1])
        images = torch.stack([volumes.get(c, empty) for c in self.channels])
        return images, grid, digests, [c for c in self.channels if c not in volumes]

    def _unbias(self, volumes: dict[str, torch.Tensor]) -> None:
        """Correct and normalise in place: each contrast by itself, or all phases by one field and one scale."""
        together: list[str] = []
        if self.shared is not None:
            if self.shared not in volumes:
                raise InputError(f"no image for {self.shared}, whose bias field serves all phases; set shared to a "
                                 "contrast that every exam has", code="missing_phase")
            together = [c for c in volumes if c not in T2]
        if self.iterations:
            fields = {c: self._field(volumes[c]) for c in volumes if c not in together or c == self.shared}
            for contrast, volume in volumes.items():
                volume.mul_(torch.exp(-fields[str(self.shared) if contrast in together else contrast]))
        scales = {c: tissue_scale(v[:, ::4, ::4].numpy()) for c, v in volumes.items()}
        for contrast, volume in volumes.items():
            volume.div_(scales[together[0] if contrast in together else contrast])

    def _field(self, volume: torch.Tensor) -> torch.Tensor:
        return self.correct(volume.permute(2, 1, 0)[None])[1][0].permute(2, 1, 0)

    def _around(self, center: np.ndarray, grid: Grid) -> list[tuple[int, float, float]]:
        """Slice and in-plane centre of each patch of a lesion that is known by its centre."""
        reach = self.extent / grid.spacing[2]
        middle = int(np.clip(round(center[2]), 0, grid.shape[2] - 1))
        first, last = max(int(np.ceil(center[2] - reach)), 0), min(int(np.floor(center[2] + reach)), grid.shape[2] - 1)
        slices = sorted({middle, *range(first, last + 1)})
        return [(z, float(center[0]), float(center[1])) for z in slices]

    def _in_mask(self, mask: np.ndarray, name: str) -> list[tuple[int, float, float]]:
        """As `_around`, from a mask `(X, Y, Z)`: the centre of mass on each slice that the lesion covers."""
        if not name.isdigit():
            raise InputError(f"lesion {name}: ids must be the numbers in the mask", code="bad_mask")
        x, y, z = np.nonzero(mask == int(name))
        if not len(z):
            raise InputError(f"lesion {name}: the mask holds no voxel of it; correct the mask or leave it out",
                             code="empty_mask")
        return [(int(k), float(x[z == k].mean()), float(y[z == k].mean())) for k in np.unique(z)]

    def _cut(self, images: torch.Tensor, covered: Mapping[str, Sequence[tuple[int, float, float]]],
             mask: np.ndarray | None) -> dict[str, Any]:
        """Patches of `images` `(C, Z, Y, X)`; those that hold another lesion, or its centre, are left out."""
        _, _, height, width = images.shape
        patches, places = {}, {}
        left_out = padded = 0
        for name, where in covered.items():
            kept, corners = [], []
            for z, x, y in where:
                left, top = round(x - (self.size - 1) / 2), round(y - (self.size - 1) / 2)
                columns = slice(max(left, 0), min(left + self.size, width))
                rows = slice(max(top, 0), min(top + self.size, height))
                if mask is not None:
                    shared = bool(np.any(~np.isin(mask[columns, rows, z], (0, int(name)))))
                else:
                    others = [spot for other, spots in covered.items() if other != name for spot in spots]
                    shared = any(c == z and left <= a < left + self.size and top <= b < top + self.size
                                 for c, a, b in others)
                if shared:
                    left_out += 1
                    continue
                patch = torch.zeros(len(images), self.size, self.size)
                inner = patch[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                inner.copy_(images[:, z, rows, columns])
                padded += inner.shape != patch.shape
                if patch.abs().max() == 0:
                    raise InputError(f"lesion {name}: slice {z} is all zero around it; correct the images or its "
                                     "centre", code="zero_slice")
                kept.append(patch)
                corners.append((left, top, z))
            if kept:
                patches[name], places[name] = torch.stack(kept), corners
        return {"patches": patches, "places": places, "left_out": left_out, "padded": padded}


class LoadLesionSlicesd(Transform):
    """Dictionary version: takes `image` (the exam), `lesions`, and `mask` where there is one.

    Gives `image`, and `patches` and `places` from its meta.

    Args:
        options: of `LoadLesionSlices`.
    """

    def __init__(self, **options: Any) -> None:
        self.load = LoadLesionSlices(**options)
        self.parameters = self.load.parameters

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = self.load(data["image"], data["lesions"], data.get("mask"))
        return {**data, "image": image, "patches": image.meta["patches"], "places": image.meta["places"]}
