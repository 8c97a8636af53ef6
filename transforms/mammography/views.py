"""The views of a screening examination: read for preparation or inference, and read again from prepared arrays.

A prepared array holds what of a mammogram is above 0, as uint16 `(1, 1, rows, columns)` at native resolution; `frame`
says where it lies in the whole picture, so that nothing is lost by cutting.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from transforms.errors import InputError
from transforms.facts import Facts, facts_of
from transforms.load import Image as Picture
from transforms.load import read_bytes
from transforms.mammography.exam_files import find_views
from transforms.mammography.geometry import Box, cut, standardise
from transforms.mammography.reading import Mammogram, has_tissue, parse_view, read_mammogram
from transforms.mammography.scale import INPUT, ScaleToWidth, fit_square, pixels_of, region_around
from transforms.read_prepared import open_prepared

_LARGEST = 65535


class LoadViews(Transform):
    """Read the mammograms of one examination, chest wall at the left, as whole numbers of 16 bits.

    Args:
        stored: how the files are stored, as of `transforms.read_mammogram`.
        check_side: compare each side with the edge that the tissue touches.

    Attributes:
        parameters: what the arrays depend on, as JSON can hold it.
    """

    def __init__(self, stored: str | None = None, check_side: bool = True) -> None:
        self.stored = stored
        self.check_side = bool(check_side)
        self.parameters = {"channels": ["image"], "stored": stored, "check_side": self.check_side}

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Read one examination.

        Args:
            data: `image`: as of `transforms.mammography.exam_files.find_views`, whose names are views, such as `L-CC`
                or `L-CC-2`; of other names the DICOM header must say it. `view` of a single file; `shown`: the file
                that a host shows, where `image` is a mapping.

        Returns:
            `views`: view's name to `{"pixels": uint16 (rows, columns), "flipped": bool, "notes": text, "spacing": mm of
            rows and columns}`; repeats of a view are `L-CC-2` and so on. `facts` of each, for `pipeline.verify.gate`,
            which also finds files of several patients. `shown`: the view that a host shows, else the first. `image`: a
            MetaTensor `(0,)` whose meta holds `digests`.

        Raises:
            InputError: a file that cannot be used, named.
        """
        files, shown = find_views(data["image"], data.get("view"))
        shown = data.get("shown", shown)
        exam = f"{data['exam_id']}/" if "exam_id" in data else ""
        views: dict[str, dict[str, Any]] = {}
        digests: dict[str, str] = {}
        facts: dict[str, Facts] = {}
        for name, path in files.items():
            try:
                found = read_mammogram(path, _view(name), check_side=self.check_side, stored=self.stored)
                if not has_tissue(found.pixels):
                    raise InputError(f"{Path(path).name}: no breast is seen; check the image", code="no_breast")
            except InputError as error:
                raise InputError(f"{exam}{error}", code=error.code) from None
            view, number = f"{found.side}-{found.view}", 2
            own = _view(name) or view
            while own in views:  # a repeat: the next name that is free
                own, number = f"{view}-{number}", number + 1
            spacing = found.spacing_mm or (1.0, 1.0)
            views[own] = {"pixels": _whole_numbers(found), "flipped": found.flipped, "notes": "; ".join(found.notes),
                          "spacing": spacing}
            digests[name] = found.digest
            step = np.diag([*spacing[::-1], 1.0, 1.0])
            own_facts = facts_of(Picture(found.pixels.T, step), f"{exam}{Path(path).name}")
            facts[own] = replace(own_facts, origin=found.origin)
        at = 0 if shown is None or len(views) == 1 else _place(shown, list(digests.values()))
        return {**data, "views": views, "facts": facts, "shown": list(views)[at],
                "image": MetaTensor(torch.zeros(0), meta={"digests": digests})}


def _place(shown: str, digests: list[str]) -> int:
    """Which of an exam's files the one that is shown is."""
    digest = hashlib.sha256(read_bytes(Path(shown))).hexdigest()
    if digest not in digests:
        raise InputError(f"{Path(shown).name}: is none of the exam's files beside it; put one of them there",
                         code="view")
    return digests.index(digest)


def _view(name: str) -> str | None:
    """The name where it is that of a view, else None."""
    try:
        parse_view(name)
    except InputError:
        return None
    return name


def _whole_numbers(found: Mammogram) -> np.ndarray:
    """Pixels as uint16; scaled only where they do not fit, which standardisation undoes."""
    pixels = found.pixels
    top = float(pixels.max())
    if top > _LARGEST or not np.array_equal(pixels, np.rint(pixels)):
        pixels = np.rint(pixels * (_LARGEST / top))
    return pixels.astype(np.uint16)


class StackViews(Transform):
    """The views that `LoadViews` read as one batch for the holistic model (§4.2, evaluation).

    Args:
        width: columns that images are scaled to; paper: 976.
        size: pixels of a side of the square input; paper: 976.
    """

    def __init__(self, width: int = INPUT, size: int = INPUT) -> None:
        self.scale = ScaleToWidth(width)
        self.size = pixels_of("size", size)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the exam with `image` `(views, 1, size, size)`, and `corners`, first pixels in the scaled pictures.

        The image's meta holds the files' `digests`, and of the view that is shown `spatial_shape` (columns, rows, 1)
        and `original_affine`.
        """
        fitted = [fit_square(self.scale(torch.from_numpy(view["pixels"].astype(np.float32))[None]), self.size)
                  for view in data["views"].values()]
        shown = data["views"][data["shown"]]
        affine = view_affine(shown)
        meta = {"affine": torch.from_numpy(affine), "original_affine": affine, "space": "RAS",
                "spatial_shape": np.asarray([*shown["pixels"].shape[::-1], 1]),
                "digests": dict(data["image"].meta["digests"])}
        return {**data, "image": MetaTensor(torch.stack([standardise(image) for image, _ in fitted]), meta=meta),
                "corners": [corner for _, corner in fitted]}


def view_affine(view: Mapping[str, Any]) -> np.ndarray:
    """`(4, 4)`, column, row and 0 of a picture's pixels to millimetres, as ITK places pictures: x and y grow with them,
    in LPS.
    """
    rows, columns = view["spacing"]
    return np.diag([-float(columns), -float(rows), 1.0, 1.0])


def content(pixels: np.ndarray) -> Box:
    """The smallest box that holds every pixel above 0; never empty."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return Box(0, 1, 0, 1)
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def on_box(box: Box, corner: tuple[int, int]) -> Box:
    """A box of the whole picture in coordinates of a part that begins at `corner`."""
    return Box(box.top - corner[0], box.bottom - corner[0], box.left - corner[1], box.right - corner[1])


class LoadMammogramd(MapTransform):
    """Replace the path of a prepared mammogram by the whole picture, float32 `(1, rows, columns)`.

    The dictionary needs `frame`: rows and columns of the whole, then top and left of what the array holds.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        rows, columns, top, left = result["frame"]
        for key in self.key_iterator(result):
            part = torch.from_numpy(open_prepared(result[key])[0].astype(np.float32))
            result[key] = cut(part, on_box(Box(0, rows, 0, columns), (top, left)))
        return result


class LoadRegiond(MapTransform):
    """Replace the path of a prepared mammogram by the region around a point, float32 `(1, size, size)` (§4.2).

    Only the region is read. It lies inside the picture where that is large enough.

    The dictionary needs `frame`, as `LoadMammogramd`, and `center`, row and column in the whole picture.

    Args:
        keys: key of the path.
        size: pixels of a side; paper: 976.
        margin: pixels read beyond the region on each side, for rotations and random crops.
    """

    def __init__(self, keys: KeysCollection, size: int = INPUT, margin: int = 0,
                 allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.size, self.margin = pixels_of("region", size), int(margin)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        rows, columns, *corner = result["frame"]
        box = region_around((rows, columns), tuple(result["center"]), self.size)
        wide = Box(box.top - self.margin, box.bottom + self.margin, box.left - self.margin, box.right + self.margin)
        for key in self.key_iterator(result):
            part = cut(open_prepared(result[key])[0], on_box(wide, (corner[0], corner[1])))
            result[key] = torch.from_numpy(part.astype(np.float32))
        return result


class Standardised(MapTransform):
    """Mean 0 and standard deviation 1 over the image, padding included; a constant image becomes 0.

    Ours: the paper does not say how grey values are scaled.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = standardise(result[key])
        return result


class ReadMammogramd(MapTransform):
    """Dictionary version of `read_mammogram`: path to `(1, rows, columns)` float32, chest wall at the left.

    The meta holds `side`, `view`, `spacing_mm` (NaN where unknown), `flipped`, `notes` (one text) and `digest`, in
    forms that batches can be made of.

    Args:
        keys: of paths.
        view_key: of the table's name of the view; an item without it must say it in the DICOM header.
        options: of `read_mammogram`.
        allow_missing_keys: as in MONAI.
    """

    def __init__(self, keys: KeysCollection = "image", view_key: str = "view", allow_missing_keys: bool = False,
                 **options: Any) -> None:
        super().__init__(keys, allow_missing_keys)
        self.view_key = view_key
        self.options = options

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            found = read_mammogram(out[key], data.get(self.view_key), **self.options)
            meta = {name: value for name, value in vars(found).items() if name not in ("pixels", "origin")}
            meta |= {"spacing_mm": found.spacing_mm or (np.nan, np.nan), "notes": "; ".join(found.notes)}
            out[key] = MetaTensor(torch.from_numpy(found.pixels)[None], meta=meta)
        return out
