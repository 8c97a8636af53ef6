"""What an exam is divided into when it is prepared: its breasts, slices or crops of its lesions, or its views.

A unit says what a bundle's preprocessing is given, which arrays become of its result, and what `prepared.json` tells
of each. Everything else about preparing (what is done, what is skipped, how it is written) is `pipeline.prepare.run`'s.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.datalist import MASK, Exam, load
from pipeline.errors import InputError
from transforms.grid import Grid, triple, with_spacing
from transforms.load import read_header
from transforms.mammography.geometry import cut
from transforms.mammography.views import content


class Unit(Protocol):
    """A way to divide exams.

    Attributes:
        name: of the list of cases in `prepared.json`.
        kept: what of the result's meta goes to the exam's record.
        partial: whether an exam may lack a contrast.
    """

    name: str
    kept: tuple[str, ...]
    partial: bool  # an exam may lack a contrast

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        """Images of an exam that are read."""

    def fingerprint(self, exam: Exam) -> Any:
        """What of the datalist the arrays depend on, as JSON can hold it."""

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        """What preprocessing takes."""

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        """The end of each array's name, the array, and what its record says of it."""

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Entries of `prepared.json`."""

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        """Print what was left out."""


class Breasts:
    """One array a breast, `(C, Z, Y, X)`: preprocessing gives `(S, C, X, Y, Z)` as `transforms.LoadBreasts` does."""

    name = "breasts"
    kept: tuple[str, ...] = ("scales", "shifts")
    partial = False

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return channels

    def fingerprint(self, exam: Exam) -> Any:
        return sorted(exam.breasts)

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths), "sides": sorted(exam.breasts)}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        image = result["image"]
        for side, breast, affine in zip(image.meta["sides"], image, image.meta["breast_affines"], strict=True):
            voxels = breast.as_tensor().permute(0, 3, 2, 1).half().numpy()  # (C, Z, Y, X)
            yield side, voxels, {"affine": affine.tolist(), "shape": list(breast.shape[1:])}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for side, array in record["arrays"].items():
            grid = Grid(triple(array["shape"]), np.asarray(array["affine"]))
            marked = [lesion for lesion in exam.lesions if lesion.side == side and lesion.malignant is not None]
            inside = [lesion for lesion in marked if grid.contains(np.asarray(lesion.center_mm))]
            yield {
                "side": side,
                "image": array["image"],
                "affine": array["affine"],
                "malignant": exam.breasts[side].get("malignant"),
                "lesions": [[*map(float, grid.to_index(np.asarray(m.center_mm))), m.malignant] for m in inside],
                "lesions_outside_crop": len(marked) - len(inside),
                "readers": {name: scores.get(side, scores.get("exam")) for name, scores in exam.readers.items()},
            }

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        if lost := sum(case["lesions_outside_crop"] for case in cases):
            print(f"warning: {lost} lesion centres lie outside their breast's crop and are not used in stage 1; "
                  "see lesions_outside_crop in prepared.json")


class LesionSlices:
    """One array a lesion, `(slices, C, Y, X)`: preprocessing gives what `transforms.LoadLesionSlices` does."""

    name = "lesions"
    kept: tuple[str, ...] = ("left_out", "padded", "missing")
    partial = True

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return [*(c for c in channels if c != "sub"), MASK]

    def fingerprint(self, exam: Exam) -> Any:
        return [[m.lesion_id, *map(float, m.center_mm)] for m in exam.lesions if m.malignant is not None]

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        lesions = [(m.lesion_id, tuple(m.center_mm)) for m in exam.lesions if m.malignant is not None]
        return {"image": {c: p for c, p in paths.items() if c != MASK},
                "mask": paths.get(MASK), "lesions": lesions}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for lesion_id, patches in result["patches"].items():
            yield f"lesion{lesion_id}", patches.half().numpy(), {"lesion_id": lesion_id, "slices": len(patches)}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        labels = {m.lesion_id: m for m in exam.lesions}
        for array in record["arrays"].values():
            lesion = labels[array["lesion_id"]]
            yield {"side": lesion.side, "lesion_id": lesion.lesion_id, "image": array["image"],
                   "slices": array["slices"], "malignant": lesion.malignant, "missing": record["missing"],
                   "readers": {}}

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        left_out = sum(record.get("left_out", 0) for record in records)
        padded = sum(record.get("padded", 0) for record in records)
        slices = sum(case["slices"] for case in cases)
        print(f"{len(cases)} lesions with {slices} patches; {left_out} patches that hold several lesions are left out, "
              f"{padded} reach over the border and are padded", flush=True)


class CenterCrops:
    """One array a crop, `(1, Z, Y, X)`: preprocessing gives what `transforms.LoadCenterCrops` does.

    A crop's `label` is 1 where it holds a lesion, whatever the lesion's kind.
    """

    name = "crops"
    kept: tuple[str, ...] = ("padded",)
    partial = False

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return channels

    def fingerprint(self, exam: Exam) -> Any:
        return [exam.healthy(), exam.spacing_mm, *([m.lesion_id, *map(float, m.center_mm)] for m in exam.lesions)]

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths), "lesions": [(m.lesion_id, tuple(m.center_mm)) for m in exam.lesions],
                "healthy": exam.healthy() and not exam.lesions, "exam_id": exam.exam_id, "spacing_mm": exam.spacing_mm}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for name, crop in result["crops"].items():
            yield name, crop.half().numpy(), {"padded": name in result["padded"], "spacing": result["spacing"]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        sides = {f"lesion{m.lesion_id}": m.side for m in exam.lesions}
        for name, array in record["arrays"].items():
            yield {"side": sides.get(name, "".join(exam.breasts)), "image_id": name, "image": array["image"],
                   "padded": array["padded"], "spacing": array["spacing"], "lesion": int(name in sides), "readers": {}}

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        lesions = sum(case["lesion"] for case in cases)
        padded = sum(case["padded"] for case in cases)
        empty = sum(not record["arrays"] for record in records)
        told = f"; {empty} volumes gave none: they are neither healthy nor have a centre" if empty else ""
        print(f"{lesions} crops of lesions, {len(cases) - lesions} of healthy tissue; {padded} reach over the border "
              f"and are padded{told}", flush=True)


class Views:
    """One array a mammogram, `(1, 1, rows, columns)`: preprocessing gives what `transforms.LoadViews` does.

    Args:
        boxes: the table of `read_boxes`, where findings are marked; they are told, nothing depends on them.
    """

    name = "images"
    kept: tuple[str, ...] = ()
    partial = True

    def __init__(self, boxes: Boxes | None = None) -> None:
        self.boxes = boxes or {}

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return [f"{side}-{view}{again}" for again in ("", *(f"-{n}" for n in range(2, 10)))
                for side in "LR" for view in ("CC", "MLO")]

    def fingerprint(self, exam: Exam) -> Any:
        return sorted(set(self.files(())) & set(exam.images))

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths)}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for name, view in result["views"].items():
            pixels = view["pixels"]
            box = content(pixels)
            yield name, cut(pixels, box)[None, None], {
                "frame": [*pixels.shape, box.top, box.left], "flipped": view["flipped"], "notes": view["notes"]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for name, array in record["arrays"].items():
            columns = array["frame"][1]
            yield {
                "side": name[0], "view": name[2:].partition("-")[0], "image_id": name, "image": array["image"],
                "frame": array["frame"], "malignant": exam.breasts.get(name[0], {}).get("malignant"),
                "detection": exam.groups.get("detection"), "views": len(record["arrays"]), "readers": exam.readers,
                "boxes": [[top, columns - right, bottom, columns - left, malignant] if array["flipped"] else
                          [top, left, bottom, right, malignant]
                          for top, left, bottom, right, malignant in self.boxes.get((exam.exam_id, name), ())],
            }

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        counts = [len({name[:5].rstrip("-") for name in record["arrays"]}) for record in records]
        lacking = sum(count < 4 for count in counts)
        many = sum(len(record["arrays"]) > 4 for record in records)
        print(f"{len(cases)} images; {lacking} exams lack a view, {many} have more than four images and are left out "
              "of training and evaluation", flush=True)


Boxes = dict[tuple[str, str], list[tuple[int, int, int, int, int]]]
_BOX = ("row_min", "col_min", "row_max", "col_max", "malignant")


def read_boxes(path: Path | str | None) -> Boxes:
    """Boxes of findings: exam and view to `(top, left, bottom, right, malignant)` in pixels of the image as stored.

    Args:
        path: table with `exam_id`, `view`, `row_min`, `col_min`, `row_max`, `col_max` (the ends not included),
            `malignant`; None: there is none.

    Raises:
        InputError: not such a table.
    """
    found: Boxes = {}
    if path is None:
        return found
    name = Path(path).name
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                top, left, bottom, right, malignant = (int(row[column]) for column in _BOX)
                found.setdefault((row["exam_id"], row["view"]), []).append((top, left, bottom, right, malignant))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{name}: no such table of boxes; set boxes to null, or name the table") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{name}: takes exam_id, view, {', '.join(_BOX)}, whole numbers; correct it") from None
    return found


def boxes_beside(path: Path | str) -> Path | None:
    """`boxes.csv` in the folder of a datalist's images, where there is one.

    Raises:
        InputError: the list cannot be read.
    """
    table = load(path).root / "boxes.csv"
    return table if table.is_file() else None


def lesion_places(path: Path | str) -> list[list[float]]:
    """Where lesions lie in their volumes, relative to the size: `(x, y, z)` in 0–1 of every centre of a datalist.

    Raises:
        InputError: the list, or a volume's header, cannot be read.
    """
    source, places = load(path), []
    for exam in source.exams:
        if exam.lesions:
            header = read_header(source.path(exam, "image"))
            grid = Grid(triple(header.shape), np.asarray(header.affine))
            if exam.spacing_mm is not None:
                grid = Grid(grid.shape, with_spacing(grid.affine, exam.spacing_mm, exam.images["image"]))
            share = [(grid.to_index(np.asarray(m.center_mm)) + 0.5) / grid.shape for m in exam.lesions]
            places += [np.round(each, 3).tolist() for each in share if ((each >= 0) & (each <= 1)).all()]
    return places


BREASTS = Breasts()
CENTER_CROPS = CenterCrops()
LESION_SLICES = LesionSlices()
VIEWS = Views()
