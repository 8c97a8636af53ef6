"""Write what an evaluation's maps of whole volumes point to, and the maps that the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from scipy import ndimage

from pipeline.breast_ultrasound.candidates import write_candidates
from pipeline.breast_ultrasound.volumes import spots
from pipeline.evaluations import EvaluationWriter
from pipeline.explain.grad_cam import slab_map
from pipeline.explain.stacks import MOST_SLICES, save_stack
from pipeline.explain.windows import WindowMap
from pipeline.files.atomic import write_arrays, write_json
from pipeline.metrics.hot_spots import HotSpots
from transforms.breast_ultrasound.volume import AXES
from transforms.grid import Grid
from transforms.load import read_image


class WriteVolumes(EvaluationWriter):
    """Writes `volumes.json`, `candidates.csv` (the challenge's format) and `maps/*.npz`.

    `volumes.json` has, of every volume, the hot spots of its map and what is true of it, in RAS millimetres: all that
    the measures of localisation take. Files hold study ids only.

    The evaluator's prediction is that of `pipeline.explain.windows.SlidingWindows`.

    Args:
        network: the network, for the paper's maps of slabs.
        output_dir: where the files go.
        maps: how many volumes of the test split to keep maps of.
        axes: what the three axes of a mask are, as of its volume.
        stacks: keep slices of every test volume and its map, `stacks/*.npz`, for the page with every exam.
    """

    def __init__(self, network: Any, output_dir: Path | str, maps: int = 8, axes: Sequence[str] = AXES,
                 stacks: bool = False) -> None:
        super().__init__(output_dir)
        self.network = network
        self.device = next(network.parameters()).device
        self.maps = int(maps)
        self.axes = tuple(axes)
        self.stacks = bool(stacks)
        self.found: list[dict[str, Any]] = []
        self.candidates: dict[str, tuple[HotSpots, Grid]] = {}
        self.kept: dict[str, dict[str, Any]] = {}

    def start(self, engine: Engine) -> None:
        self.found, self.candidates, self.kept = [], {}, {}

    def collect(self, engine: Engine) -> None:
        """Take one volume."""
        batch: Any = engine.state.batch
        pred = engine.state.output["pred"]
        grid: Grid = batch["grid"]
        hot = spots(pred, grid)
        score = float(pred["logits"].sigmoid())
        self.candidates[batch["exam_id"]] = (hot, grid)
        self.found.append({
            "exam_id": batch["exam_id"], "patient_id": batch["patient_id"], "side": batch["side"],
            "split": batch["split"], "healthy": batch["healthy"], "score": round(score, 6),
            "shape": list(grid.shape), "affine": grid.affine.tolist(), "centers": batch["centers"],
            "boxes": _boxes(batch, self.axes), "spots": [[*np.round(point, 3).tolist(), round(float(value), 6)]
                                              for point, value in zip(hot.points, hot.scores, strict=True)]})
        if len(self.kept) < self.maps and batch["split"] == "test":
            self.kept[batch["exam_id"]] = self._picture(batch, pred, hot, grid, score)
        if self.stacks and batch["split"] == "test":
            self._save_stack(batch, pred, grid)

    def _picture(self, batch: dict[str, Any], pred: dict[str, Any], hot: HotSpots, grid: Grid,
                 score: float) -> dict[str, Any]:
        """The slice through the first lesion, else through the hottest spot: rows depth, columns lateral."""
        centers = grid.to_index(np.reshape(np.asarray(batch["centers"], float), (-1, 3)))
        at = centers[0] if len(centers) else grid.to_index(hot.points[0]) if len(hot) else np.asarray(grid.shape) / 2
        z = int(np.clip(round(at[2]), 0, grid.shape[2] - 1))
        image = batch["image"].as_subclass(torch.Tensor)  # a MetaTensor's every step costs
        here = [i for i, center in enumerate(centers) if abs(center[2] - z) * grid.spacing[2] < 5]
        return {"image": image[0, 0, z].cpu().numpy().astype(np.float16),
                "heat": WindowMap.of(pred).plane(grid.shape, z).astype(np.float16),
                "slab": slab_map(self.network, image[0].to(self.device), z).astype(np.float16),
                "points": centers[here][:, :2].astype(np.float32).reshape(-1, 2),
                "point_malignant": np.asarray([int(batch["malignant"][i] or 0) for i in here], np.int64),
                "label": int(bool(len(centers))), "score": score, "threshold": 0.5,
                "exam_id": batch["exam_id"], "side": batch["side"],
                "aspect": float(grid.spacing[1] / grid.spacing[0])}

    def _save_stack(self, batch: dict[str, Any], pred: dict[str, Any], grid: Grid) -> None:
        """Slices evenly through the sweep, and those of marked centres; turned as in `_picture`."""
        centers = grid.to_index(np.reshape(np.asarray(batch["centers"], float), (-1, 3)))
        last = grid.shape[2] - 1
        marked = centers[:, 2].round().clip(0, last)
        chosen = np.union1d(np.linspace(0, last, min(last + 1, MOST_SLICES - len(marked))).round(), marked).astype(int)
        image = batch["image"][0, 0].cpu().numpy()
        save_stack(self.folder, {"exam_id": batch["exam_id"], "side": batch["side"]}, image[chosen],
                   np.stack([WindowMap.of(pred).plane(grid.shape, int(z)) for z in chosen]),
                   [(*center[:2], np.searchsorted(chosen, z)) for center, z in zip(centers, marked, strict=True)],
                   [int(kind or 0) for kind in batch["malignant"]], chosen.tolist(), grid.shape[2],
                   float(grid.spacing[1] / grid.spacing[0]))

    def write(self, engine: Engine) -> None:
        write_json(self.folder / "volumes.json", self.found)
        write_candidates(self.folder / "candidates.csv", self.candidates)
        for name, picture in self.kept.items():
            write_arrays(self.folder / "maps" / f"{name}.npz", **picture)
        print(f"{len(self.found)} volumes in {self.folder / 'volumes.json'}", flush=True)


def _boxes(batch: dict[str, Any], axes: Sequence[str]) -> list[list[list[int]]] | None:
    """First and last voxel of each lesion in the mask, along (x, y, z) of the grid; None without a mask."""
    if batch["mask"] is None or not batch["centers"]:
        return None
    mask = read_image(batch["mask"]).array.transpose([list(axes).index(name) for name in AXES])
    found = ndimage.find_objects(np.asarray(mask, np.int32))
    boxes = []
    for name in batch["lesion_ids"]:
        number = int(name) - 1 if str(name).isdigit() else -1
        box = found[number] if 0 <= number < len(found) else None
        if box is None:
            return None
        boxes.append([[part.start for part in box], [part.stop - 1 for part in box]])
    return boxes
