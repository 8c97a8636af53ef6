"""All slices of a scored case as a person looks at them: image, heat or boxes, and marked centres, kept small."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.files.atomic import write_arrays

FOLDER = "stacks"  # beside an evaluation's predictions
MOST_SLICES = 48  # more are thinned out evenly
MOST_PIXELS = 256  # of a slice's longer side; larger ones are averaged down


@dataclass
class Stack:
    """A case's slices, turned for display.

    Attributes:
        names: `exam_id`, `side` and what else tells the case apart, as in `predictions.csv`.
        image: `(slices, rows, columns)` uint8, black to white.
        heat: the same of the heat map, 0 to 255 for 0 to 1; None where there is no map.
        points: `(n, 3)` column, row (the centre of a pixel is at whole numbers) and slice of marked centres.
        malignant: `(n,)` 0 or 1.
        numbers: `(slices,)` the slices as the exam's own file counts them, from 0.
        total: how many slices that file has; 0 where it is not known, and `numbers` count what is here.
        aspect: a pixel's height over its width.
        boxes: `(n, 8)` of a detector's: column and row of a corner, width and height (edges of pixels, the first at 0),
            first and last slice, malignant, score; None where it is no detector's case.
    """

    names: dict[str, str]
    image: np.ndarray
    heat: np.ndarray | None
    points: np.ndarray
    malignant: np.ndarray
    numbers: np.ndarray
    total: int = 0
    aspect: float = 1.0
    boxes: np.ndarray | None = None

    def shown(self) -> int:
        """The slice to begin with: of a malignant centre, else of any, else the hottest or the middle of the surest box
        (of a malignant one where there is any), else the middle one."""
        for of in (self.points[self.malignant > 0], self.points):
            if len(of):
                return int(of[0][2])
        if self.boxes is not None and len(self.boxes):
            surest = max(self.boxes.tolist(), key=lambda box: box[6:])
            return int((surest[4] + surest[5]) // 2)
        if self.heat is not None and self.heat.any():
            return int(self.heat.reshape(len(self.heat), -1).max(axis=1).argmax())
        return len(self.image) // 2


def save_stack(folder: Path | str, names: Mapping[str, Any], image: np.ndarray, heat: np.ndarray | None,
               points: Sequence[Sequence[float]] = (), malignant: Sequence[int] = (),
               numbers: Sequence[int] | None = None, total: int = 0, aspect: float = 1.0,
               boxes: np.ndarray | None = None) -> None:
    """Write a case's slices under an evaluation's folder.

    Args:
        folder: of the evaluation.
        names: `exam_id`, `side` and what else tells the case apart.
        image, heat: `(slices, rows, columns)` in 0–1, turned for display; `heat` None where there is no map.
        points: `(n, 3)` column, row and slice of marked centres.
        malignant: of each point.
        numbers, total, aspect, boxes: as of `Stack`, of these slices and pixels.
    """
    kept = np.unique(np.linspace(0, len(image) - 1, min(len(image), MOST_SLICES)).round().astype(int))
    step = -(-max(image.shape[1:]) // MOST_PIXELS)
    at = np.asarray(points, float).reshape(-1, 3)
    at = np.column_stack([(at[:, :2] + 0.5) / step - 0.5, np.abs(at[:, 2:] - kept).argmin(axis=1)])
    if boxes is not None:
        boxes = np.asarray(boxes, np.float32).reshape(-1, 8).copy()
        boxes[:, :4] /= step
        boxes[:, 4:6] = np.abs(boxes[:, 4:6, None] - kept).argmin(axis=2)
    counted = np.arange(len(image)) if numbers is None else np.asarray(numbers)
    names = {key: str(value) for key, value in names.items()}
    write_arrays(
        stack_path(folder, names),
        image=_bytes(image[kept], step), heat=_bytes(heat[kept], step) if heat is not None else np.zeros(0, np.uint8),
        points=at.astype(np.float32), malignant=np.asarray(malignant, np.uint8), numbers=counted[kept],
        total=int(total), aspect=float(aspect), **({} if boxes is None else {"boxes": boxes}),
        **{f"name_{key}": value for key, value in names.items()})


def stack_path(folder: Path | str, names: Mapping[str, Any]) -> Path:
    """Where a case's slices lie under an evaluation's folder."""
    return Path(folder) / FOLDER / ("_".join(str(value) for value in names.values() if value) + ".npz")


def load_stack(path: Path) -> Stack:
    """Read what `save_stack` wrote.

    Raises:
        InputError: the file is damaged, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        heat = content["heat"] if content["heat"].size else None
        if content["image"].ndim != 3 or (heat is not None and heat.shape != content["image"].shape):
            raise ValueError("its slices are not of one shape")
        return Stack({key.removeprefix("name_"): str(value) for key, value in content.items() if key[:5] == "name_"},
                     content["image"], heat, content["points"].reshape(-1, 3), content["malignant"],
                     content["numbers"], int(content["total"]), float(content["aspect"]), content.get("boxes"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name}: not slices of a scored case ({error}); evaluate again") from None


def _bytes(values: np.ndarray, step: int) -> np.ndarray:
    """Of 0–1 to 0–255, the mean over squares of `step` pixels; what is left at the end is cut off."""
    values = np.nan_to_num(np.asarray(values, np.float32)).clip(0, 1)
    rows, columns = (n // step * step for n in values.shape[1:])
    blocks = values[:, :rows, :columns].reshape(len(values), rows // step, step, columns // step, step)
    return (blocks.mean(axis=(2, 4)) * 255).round().astype(np.uint8)
