"""Whole ultrasound volumes: their cases, and the hot spots of their maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import datalist
from pipeline.errors import InputError
from pipeline.explain.windows import WindowMap
from pipeline.files.receipts import digest
from pipeline.metrics.hot_spots import HotSpots, hot_spots
from pipeline.prepare.cases import check_fold, load
from transforms.grid import Grid


def volumes(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a whole volume, read where the datalist has it, for `LoadVolumed`.

    Where a test set is held out, its fold alone has any: maps of whole volumes are dear.

    Returns:
        dictionaries with `image` (path), `exam_id`, `patient_id`, `side`, `split`, `healthy` (the datalist says so),
        `centers` (RAS mm), `malignant` of each, `mask` (path or None) with the lesions' numbers, `spacing_mm`.

    Raises:
        InputError: the datalist has gone, or is another one than the crops were prepared from.
    """
    content = load(folder)
    listed = Path(folder) / content["datalist"]
    source = datalist.load(listed)
    if digest(listed) != content.get("listed"):
        raise InputError(f"{listed.name}: was changed since the crops were prepared; run prepare.yaml again, crops "
                         "that are ready are kept", code="changed")
    check_fold(content, fold)
    last = content["folds"].get("held_out", fold)
    found = []
    for exam in source.exams if fold == last else []:
        if exam.split(fold) in splits:
            mask = source.path(exam, datalist.MASK) if datalist.MASK in exam.images else None
            found.append({
                "image": str(source.path(exam, "image")), "exam_id": exam.exam_id, "patient_id": exam.patient_id,
                "side": "".join(exam.breasts), "split": exam.split(fold), "healthy": exam.healthy(),
                "centers": [list(point) for _, point in exam.points()],
                "malignant": [m.malignant for m, _ in exam.points()],
                "lesion_ids": [m.lesion_id for m, _ in exam.points()], "mask": None if mask is None else str(mask),
                "spacing_mm": exam.spacing_mm})
    return found


def spots(found: Mapping[str, Any], volume: Grid, most: int = 20) -> HotSpots:
    """The hot spots of a volume's map; scores are probabilities.

    Args:
        found: what `SlidingWindows` returned.
        volume: its grid.
        most: so many are kept.
    """
    mapped = WindowMap.of(found)
    return hot_spots(mapped.heat, mapped.grid(volume).affine, relative=0.0, most=most, subvoxel=True)
