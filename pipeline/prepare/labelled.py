"""Raw exams with class labels or points, as MONAI Label hands them to a training, made into prepared cases.

A label is a small JSON file that a reader stored for an image:

```
{"L": 0, "R": 1}                               a breast each: malignant or not
{"label": 0}                                   nothing malignant, or no lesion, in any breast
{"label": 1, "points": [[-40.5, 12.0, 3.0]]}   lesions' centres, RAS millimetres
{"markups": [...]}                             a point list of 3D Slicer; a point named benign… is benign
```

Points say where a lesion is, and which breast it is in: the right one where x is greater than at the image's middle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalist import APART, SIDES, Datalist, Exam, Lesion, save
from pipeline.errors import InputError
from pipeline.files.points import read_points
from pipeline.prepare.run import Preprocessing, run
from pipeline.prepare.unit import Unit
from pipeline.training.batches import SeededDataset
from transforms.load import read_header

_FORMS = 'give {"L": 0, "R": 1}, {"label": 0}, {"label": 1, "points": [[x, y, z]]} in RAS mm, or a point list of Slicer'

Found = Mapping[str, Path] | Path


class LabelledDataset(SeededDataset):
    """Cases of a prepared dataset as they are, or those of raw exams, which are prepared first.

    Args:
        data: cases, or dictionaries with the paths of an `image` and of its `label`.
        transform: of a case.
        unit: what an exam is divided into.
        preparation: the bundle's preprocessing of a raw exam.
        read: takes folder, fold and split of a prepared dataset, gives its cases.
        folder: where raw exams' arrays are kept; those that are ready are not prepared again.
        find: takes an image's path and the contrasts, gives a path each; None: the image is the only one.
        both: whether the exam is of both breasts, which a point then tells apart.

    Raises:
        InputError: nothing to train on or to validate with, or a label or an exam that cannot be used.
    """

    def __init__(self, data: Sequence[Mapping[str, Any]], transform: Any, unit: Unit, preparation: Preprocessing,
                 read: Callable[..., list[dict[str, Any]]], folder: Path | str,
                 find: Callable[[str, Sequence[str]], Found] | None = None, both: bool = True) -> None:
        if not data:
            raise InputError("no labelled exam is left for this part of the training; label more, or change val_split")
        if any(isinstance(item.get("label"), str) for item in data):
            channels = preparation.parameters["channels"]
            exams = [_exam(item, channels, find, both) for item in data]
            source = Datalist("labelled", unit.modality, Path("/"), exams, {"count": 1, APART: "labelled"})
            Path(folder).mkdir(parents=True, exist_ok=True)
            save(source, Path(folder) / "list.json")
            run(Path(folder) / "list.json", folder, unit, preparation)
            data = read(folder, 0, "test")  # the only fold tests all: who trains and who validates is decided
        super().__init__(data, transform)


def _exam(item: Mapping[str, Any], channels: Sequence[str], find: Callable[[str, Sequence[str]], Found] | None,
          both: bool) -> Exam:
    image = Path(str(item["image"])).absolute()
    name = image.name.split(".")[0]
    found: Found = {"image": image} if find is None else find(str(image), channels)
    if isinstance(found, Path):
        raise InputError(f"{name}: one file of all contrasts cannot be trained on; put one file a contrast into "
                         f"{name}.exam beside it")
    breasts, lesions = read_label(Path(str(item["label"])), next(iter(found.values())), both)
    images = {contrast: str(path.absolute()) for contrast, path in found.items()}
    return Exam(name, name, images, breasts, lesions, fold=0)


def read_label(path: Path, image: Path, both: bool = True) -> tuple[dict[str, dict[str, int | None]], list[Lesion]]:
    """What a label file says of an exam.

    Args:
        path: of the label.
        image: of the exam, whose middle tells the breasts apart.
        both: whether both breasts are in it; else points and labels are of the one that it shows.

    Returns:
        labels by side, and lesions.

    Raises:
        InputError: none of the forms that are known.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: no class label; {_FORMS}")
    sides = SIDES if both else SIDES[:1]
    if set(content) <= set(SIDES) and content:
        return {side: _breast(_binary(value, path), 0) for side, value in content.items()}, []
    points = [(each.position, 0 if each.label.lower().startswith("benign") else 1) for each in read_points(path)
              ] if "markups" in content else [(_place(each, path), 1) for each in content.get("points", [])]
    label = _binary(content["label"], path) if "label" in content else int(bool(points)) if "markups" in content else -1
    if label < 0 or (label == 1 and not points) or (label == 0 and points):
        raise InputError(f"{path.name}: says neither that there is nothing nor where it is; {_FORMS}")
    middle = _middle(image) if both and points else 0.0
    lesions = [Lesion("R" if both and place[0] > middle else "L", place, malignant, str(number))
               for number, (place, malignant) in enumerate(points, start=1)]
    found = {side: [each.malignant for each in lesions if each.side == side] for side in sides}
    return {side: _breast(int(1 in kinds), int(0 in kinds)) for side, kinds in found.items()}, lesions


def _breast(malignant: int, benign: int) -> dict[str, int | None]:
    return {"malignant": malignant, "benign": benign}


def _binary(value: Any, path: Path) -> int:
    if value not in (0, 1):
        raise InputError(f"{path.name}: a label is neither 0 nor 1; {_FORMS}")
    return int(value)


def _place(value: Any, path: Path) -> tuple[float, float, float]:
    try:
        x, y, z = map(float, value)
    except (TypeError, ValueError):
        raise InputError(f"{path.name}: a point is not three numbers; {_FORMS}") from None
    return x, y, z


def _middle(image: Path) -> float:
    """x of the image's centre, RAS millimetres."""
    header = read_header(image)
    centre = (np.asarray(header.shape[:3]) - 1) / 2
    return float((np.asarray(header.affine) @ [*centre, 1])[0])
