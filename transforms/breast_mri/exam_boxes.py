"""From a detector's boxes on the breasts' grids to what is told of the exam."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from transforms.answer import ResultTransform
from transforms.breast_mri.exam_maps import maps_to_exam
from transforms.breast_mri.lesion_boxes import CLASSES, MALIGNANT
from transforms.grid import Grid, triple


def box_places(boxes: Any, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Centres in RAS mm, `(N, 3)`, and extents in mm along the grid's axes, `(N, 3)`.

    Args:
        boxes: `(N, 6)`, voxels `x0 y0 z0 x1 y1 z1`, ends not included.
        grid: of the voxels.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 6)
    return grid.to_world((boxes[:, :3] + boxes[:, 3:] - 1) / 2), (boxes[:, 3:] - boxes[:, :3]) * grid.spacing


def malignancy(found: Mapping[str, torch.Tensor]) -> float:
    """A breast's score: the highest confidence of a malignant box (curriculum, §3.2), 0 without one."""
    scores = found["scores"][found["labels"] == MALIGNANT]
    return float(scores.max()) if len(scores) else 0.0


def box_map(found: Mapping[str, torch.Tensor], shape: Sequence[int]) -> torch.Tensor:
    """The highest confidence of a malignant box in each voxel, `(X, Y, Z)`, 0 outside all of them."""
    heat = torch.zeros(tuple(shape))
    for box, label, score in zip(found["boxes"].cpu().round().int().tolist(), found["labels"].tolist(),
                                 found["scores"].tolist(), strict=True):
        if label == MALIGNANT:
            part = heat[tuple(slice(max(a, 0), max(b, a + 1, 1)) for a, b in zip(box[:3], box[3:], strict=True))]
            part.clamp_(min=score)
    return heat


class BoxResultd(ResultTransform):
    """Turn a detector's boxes into what users read.

    Reads under the first key a dictionary a breast, of `boxes`, `labels` and `scores`, in a list, or in the list of a
    batch of one exam, and the meta of `image_key`. Writes

    * `result`: `probability` (the worst breast's) and `probabilities` by side, as `transforms.MalignancyResultd`, and
      `boxes`: of each its `side`, `class`, `score`, `center_mm` (RAS) and `size_mm` (along the breast's axes: medial to
      lateral, posterior to anterior, inferior to superior), the highest score first;
    * the first key: the malignant boxes in the exam's own space, `(1, X, Y, Z)`, filled with their scores;
    * `heatmap_breasts`: the same on the breasts' grids.

    Args:
        keys: of the boxes, and where the map is put.
        image_key: the breasts as `transforms.LoadBreastsd` gives them.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        image, every = result[self.image_key], result[self.keys[0]]
        if len(every) == 1 and not isinstance(every[0], Mapping):
            (every,) = every
        sides, shape = image.meta["sides"], triple(image.shape[-3:])
        told: list[dict[str, Any]] = []
        for side, found, affine in zip(sides, every, image.meta["breast_affines"], strict=True):
            centers, sizes = box_places(found["boxes"].cpu(), Grid(shape, np.asarray(affine)))
            told += [{"side": side, "class": CLASSES[int(label)], "score": round(float(score), 6),
                      "center_mm": [round(float(v), 2) for v in center], "size_mm": [round(float(v), 2) for v in size]}
                     for label, score, center, size in zip(found["labels"], found["scores"], centers, sizes,
                                                           strict=True)]
        by_side = {side: round(malignancy(found), 6) for side, found in zip(sides, every, strict=True)}
        maps = torch.stack([box_map(found, shape) for found in every])
        exam = Grid.of_exam(image.meta)
        heat = maps_to_exam(maps, image.meta["breast_affines"], exam)
        result = self.answered(result, {"type": "malignancy", "probability": max(by_side.values()),
                                        "probabilities": by_side,
                                        "boxes": sorted(told, key=lambda box: -box["score"])}, heat)
        result["heatmap_breasts"] = maps
        return result
