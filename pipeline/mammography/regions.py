"""Centres of attention of a holistic model (§3.2, §4.2), found once a model and kept in a file.

```
{"schema": "breast-bundles/regions/1", "model": "<SHA-256 of the holistic weights>", "width": 976, "size": 976,
 "fold": 0, "images": {"E0001/L-CC": {"center": [1402.5, 611.0], "score": -1.25, "array": "<SHA-256>"}}}
```

`center` is row and column in the whole picture at native resolution, `score` the holistic model's, `array` the digest
of the prepared array: where it is another one, the image is done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import InputError
from pipeline.explain.saliency import SHARE, centre_of_attention
from pipeline.explain.stacks import stack_path
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest, is_sealed, sealed
from transforms.mammography.scale import native_point

SCHEMA = "breast-bundles/regions/1"
FILE = "regions.json"


def image_key(case: Mapping[str, Any]) -> str:
    """What an image is called in the file."""
    return f"{case['exam_id']}/{case['image_id']}"


def native_centers(maps: torch.Tensor, corners: Sequence[Sequence[int]], shapes: Sequence[Sequence[int]],
                   width: int) -> list[tuple[float, float]]:
    """Centres of attention in the pictures at native resolution, row and column.

    Args:
        maps: `(B, H, W)` of `saliency`.
        corners: first pixel of each input in the scaled picture, as of `fit_square`.
        shapes: rows and columns of each whole picture.
        width: columns of the scaled picture.
    """
    found = []
    points = centre_of_attention(maps, SHARE).tolist()
    for (row, column), corner, (rows, columns) in zip(points, corners, shapes, strict=True):
        scaled = (max(1, round(rows * width / columns)), width)
        found.append(native_point((row, column), (int(corner[0]), int(corner[1])), (rows, columns), scaled))
    return found


def identity(model: Path | str, width: int, size: int, fold: int) -> dict[str, Any]:
    """What centres depend on: the holistic model's digest, its input, and the fold whose model it is.

    Raises:
        InputError: no such model.
    """
    path = Path(model)
    if not path.is_file():
        raise InputError(f"{path.parent.name}/{path.name}: no such checkpoint; train it with train.yaml")
    return {"schema": SCHEMA, "model": digest(path), "width": width, "size": size,
            "fold": fold}


def stack_names(case: Mapping[str, Any]) -> dict[str, str]:
    """What tells an image's kept picture apart, as in `images.csv`."""
    return {"exam_id": case["exam_id"], "side": case["image_id"][0], "image_id": case["image_id"]}


def known(path: Path | str, about: Mapping[str, Any]) -> dict[str, Any]:
    """The images of a file of the same model and input; empty where there is none, or of another."""
    try:
        content = json.loads(Path(path).read_text())
        same = {key: content.get(key) for key in about} == dict(about) and is_sealed(content)
        return dict(content["images"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def unknown(cases: Sequence[dict[str, Any]], path: Path | str, about: Mapping[str, Any],
            stacks: bool = False) -> list[dict[str, Any]]:
    """The images whose centre is still to be found; with `stacks` also test images whose picture was not kept."""
    images, folder = known(path, about), Path(path).parent
    todo = [case for case in cases if images.get(image_key(case), {}).get("array") != case["sha256"]
            or (stacks and case["split"] == "test" and not stack_path(folder, stack_names(case)).is_file())]
    print(f"regions: {len(cases)} images, {len(cases) - len(todo)} known, {len(todo)} to do", flush=True)
    return todo


def save(path: Path | str, about: Mapping[str, Any], images: Mapping[str, Any]) -> None:
    """Write the file in one piece."""
    write_json(path, sealed({**about, "images": dict(images)}))


def with_centers(cases: Sequence[dict[str, Any]], path: Path | str, fold: int, model: Path | str | None = None,
                 width: int | None = None, size: int | None = None) -> list[dict[str, Any]]:
    """Cases with their `center` of attention and the `holistic` score.

    Args:
        cases: of `pipeline.prepare.cases`.
        path: the file of regions.
        fold: whose cases they are; those that a model of another fold tests were trained on in this one.
        model, width, size: the holistic model and its input, where the file must be theirs.

    Raises:
        InputError: no such file, of another fold or model, or an image is not in it.
    """
    name = Path(path).name
    remedy = "run regions.yaml for this dataset, fold and model"
    try:
        content = json.loads(Path(path).read_text())
        images = content["images"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{name}: no such file of regions; {remedy}") from None
    if not is_sealed(content):
        raise InputError(f"{name}: was changed since it was written; delete it and {remedy}", code="changed")
    if content.get("fold") != fold:
        raise InputError(f"{name}: of fold {content.get('fold')}, this is fold {fold}; {remedy}")
    if model is not None:
        about = identity(model, int(width or 0), int(size or 0), fold)
        if {key: content.get(key) for key in about} != about:
            raise InputError(f"{name}: centres of another holistic model, or of another input size; {remedy}")
    for case in cases:
        if image_key(case) not in images:
            raise InputError(f"{name}: exam {case['exam_id']}, {case['image_id']} is not in it; {remedy}")
    return [{**case, "center": images[image_key(case)]["center"], "holistic": images[image_key(case)]["score"]}
            for case in cases]


def region_starts(points: np.ndarray, shape: Sequence[int], size: int) -> np.ndarray:
    """First row and column of the regions around points `(n, 2)`, as `transforms.mammography.scale.region_around`."""
    room = np.asarray(shape) - size
    return np.where(room >= 0, np.clip(np.rint(points - (size - 1) / 2), 0, np.maximum(room, 0)), -(-room // 2))


def holds(points: np.ndarray, shape: Sequence[int], size: int, targets: np.ndarray) -> np.ndarray:
    """Whether the region around each point holds one of the targets.

    Args:
        points: `(n, 2)`, row and column.
        shape: rows and columns of the picture.
        size: pixels of the region's side.
        targets: `(m, 2)`.

    Returns:
        bool `(n,)`.
    """
    offset = np.asarray(targets, float)[None] - region_starts(np.asarray(points, float), shape, size)[:, None]
    return ((offset >= -0.5) & (offset < size - 0.5)).all(axis=2).any(axis=1)


def breast_points(part: np.ndarray, frame: Sequence[int], most: int = 4000) -> np.ndarray:
    """Pixels of the breast, evenly spread over it: `(n, 2)`, row and column in the whole picture.

    Args:
        part: what a prepared array holds, `(rows, columns)`.
        frame: of the whole, see `transforms.LoadMammogramd`.
        most: about so many of them.
    """
    step = max(int(np.sqrt(part.size / most)), 1)
    return np.argwhere(part[::step, ::step] > 0) * step + np.asarray(frame[2:])
