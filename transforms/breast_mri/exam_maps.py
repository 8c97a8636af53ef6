"""From maps on the breasts' grids back to the exam as the user has it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from transforms.answer import ResultTransform
from transforms.grid import Grid, triple
from transforms.resample import resample


def maps_to_exam(maps: torch.Tensor, affines: Sequence[np.ndarray], exam: Grid) -> torch.Tensor:
    """Put each breast's or patch's map where it belongs in the exam.

    Crop, split and mirroring are undone by the affines that were recorded on the way, not step by step.

    Args:
        maps: `(N, X, Y, Z)`.
        affines: voxel of each map to RAS mm.
        exam: the exam's own grid.

    Returns:
        `(X, Y, Z)` on `exam`; 0 outside the maps, the larger value where they meet.
    """
    whole = torch.zeros(exam.shape[::-1])
    for each, affine in zip(maps, affines, strict=True):
        grid = Grid(triple(each.shape), np.asarray(affine))
        low, high = _reach(grid, exam)
        if (high > low).all():
            part = resample(each.float().cpu().numpy(), grid, exam.cropped(low, triple(high - low)))
            there = whole[tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))]
            torch.maximum(there, part, out=there)
    return whole.permute(2, 1, 0)


def _reach(grid: Grid, exam: Grid) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of `exam` that a grid's outer edges may reach, and the one after the last."""
    size = np.asarray(grid.shape, float)
    corners = np.stack(np.meshgrid(*[(-0.5, n - 0.5) for n in size], indexing="ij"), -1).reshape(-1, 3)
    at = exam.to_index(grid.to_world(corners))
    low, high = np.floor(at.min(axis=0)), np.ceil(at.max(axis=0)) + 1
    return low.clip(0, exam.shape).astype(int), high.clip(0, exam.shape).astype(int)


class MalignancyResultd(ResultTransform):
    """Turn an exam's network output into what users and MONAI Label read.

    Reads `logits` `(…, S, 2)` and `heatmap` `(…, S, X, Y, Z)` (from the dictionary itself, or from a dictionary under
    the first key) and the meta of `image_key`; leading axes of 1 do not matter. Writes

    * `result`: `probability` (the worst breast's malignancy) and `probabilities` by side, plain floats;
    * the first key: the heat map in the exam's own space, `(1, X, Y, Z)`, as `transforms.answer.answered` gives it. The
      map's peak equals the breast's probability of malignancy, so that a breast without suspicion stays cold;
    * `heatmap_breasts`: the maps on the breasts' grids.

    Args:
        keys: where the map is put, e.g. `pred`.
        image_key: the breasts as `transforms.LoadBreastsd` gives them.
        output, threshold: as of `transforms.answer.answered`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        key = self.keys[0]
        answer = result if "heatmap" in result else result[key]
        meta = result[self.image_key].meta
        scores = torch.as_tensor(answer["logits"]).float().reshape(-1, 2).softmax(dim=1)[:, 1].tolist()
        maps = torch.as_tensor(answer["heatmap"])
        maps = maps.reshape(-1, *maps.shape[-3:])
        by_side = {side: round(score, 6) for side, score in zip(meta["sides"], scores, strict=True)}
        exam = Grid.of_exam(meta)
        heat = maps_to_exam(maps, meta["breast_affines"], exam)
        told = {"type": "malignancy", "probability": max(by_side.values()), "probabilities": by_side}
        result = self.answered(result, told, heat)
        result["heatmap_breasts"] = maps
        return result
