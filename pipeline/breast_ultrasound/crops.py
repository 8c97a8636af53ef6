"""Crops around lesions' centres and of healthy tissue: the unit of centre-point supervision, and its cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import datalist
from pipeline.datalist import Exam
from pipeline.prepare.cases import labelled_cases, load
from transforms.grid import Grid, triple, with_spacing
from transforms.load import read_header


class CenterCrops:
    """One array a crop, `(1, Z, Y, X)`: preprocessing gives what `transforms.LoadCenterCrops` does.

    A crop's `label` is 1 where it holds a lesion, whatever the lesion's kind.
    """

    modality = "US"
    name = "crops"
    kept: tuple[str, ...] = ("padded",)
    partial = False
    outlining: tuple[str, ...] = ()

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return channels

    def fingerprint(self, exam: Exam) -> Any:
        centers = ([m.lesion_id, *map(float, point)] for m, point in exam.points())
        return [exam.healthy(), exam.fold, exam.spacing_mm, *centers]

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths), "lesions": [(m.lesion_id, point) for m, point in exam.points()],
                "healthy": exam.healthy() and not exam.lesions, "exam_id": exam.exam_id, "fold": str(exam.fold),
                "spacing_mm": exam.spacing_mm}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for name, crop in result["crops"].items():
            yield name, crop.half().numpy(), {"padded": name in result["padded"], "spacing": result["spacing"]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        sides = {f"lesion{m.lesion_id}": m.side for m in exam.lesions}
        for name, array in record["arrays"].items():  # readers score malignancy, which is not a crop's label
            yield {"side": sides.get(name, "".join(exam.breasts)), "image_id": name, "image": array["image"],
                   "padded": array["padded"], "spacing": array["spacing"], "lesion": int(name in sides), "readers": {}}

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        lesions = sum(case["lesion"] for case in cases)
        padded = sum(case["padded"] for case in cases)
        empty = sum(not record["arrays"] for record in records)
        told = f"; {empty} volumes gave none: they are neither healthy nor have a centre" if empty else ""
        print(f"{lesions} crops of lesions, {len(cases) - lesions} of healthy tissue; {padded} reach over the border "
              f"and are padded{told}", flush=True)


CENTER_CROPS = CenterCrops()


def crops(folder: Path | str, fold: int, *splits: str, views: Sequence[str] = ("",)) -> list[dict[str, Any]]:
    """One case a stored crop, for `LoadCropd` (centre-point ultrasound).

    Args:
        folder, fold: as `pipeline.prepare.cases.labelled_cases`.
        splits: as there, or `watched`: the validation crops, and the test crops in a fold that validates none.
        views: each crop is there once for each of them, under `view`.

    Returns:
        dictionaries with `image` (path), `label` (1 = holds a lesion), `exam_id`, `patient_id`, `side`, `image_id`,
        `split`, `groups`, `readers`, and `view` where one is given.

    Raises:
        InputError: no such fold, or no case in it.
    """
    if splits == ("watched",):
        found = any(case["splits"][fold] == "validation" for case in load(folder).get("crops", ()))
        splits = ("validation",) if found else ("test",)
    return [{**case, "label": case["lesion"], **({"view": view} if view else {})}
            for view in views for case in labelled_cases(folder, fold, splits, "crops", "lesion")]


def lesion_places(path: Path | str) -> dict[str, list[list[float]]]:
    """Where lesions lie in their volumes, relative to the size, by the fold that tests them.

    Crops are cut once for all folds. A healthy volume trains in every fold but the one that tests it, so that only the
    lesions of that same fold are never tested while it trains; they place its crops. Exams that are held out have a
    fold of their own, and place each other's alone. A place may be of an exam that validates while the volume trains:
    validation chooses an epoch, it is not reported.

    Returns:
        fold, as text, to `(x, y, z)` in 0–1 of every centre.

    Raises:
        InputError: the list, or a volume's header, cannot be read.
    """
    source = datalist.load(path)
    places: dict[str, list[list[float]]] = {}
    for exam in source.exams:
        if exam.points():
            header = read_header(source.path(exam, "image"))
            grid = Grid(triple(header.shape), np.asarray(header.affine))
            if exam.spacing_mm is not None:
                grid = Grid(grid.shape, with_spacing(grid.affine, exam.spacing_mm, exam.images["image"]))
            share = [(grid.to_index(np.asarray(point)) + 0.5) / grid.shape for _, point in exam.points()]
            places.setdefault(str(exam.fold), []).extend(
                np.round(each, 3).tolist() for each in share if ((each >= 0) & (each <= 1)).all())
    return places
