"""Write an evaluation of a detector: scores of breasts as every variant has them, its boxes, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine

from pipeline.breast_mri.map_records import plane_picture, pointing, save_slices
from pipeline.breast_mri.write_maps import MapWriter
from pipeline.explain.evidence import body_mask
from pipeline.files.atomic import write_table
from pipeline.metrics.average_precision import matched
from pipeline.metrics.froc import FALSE, FOUND, NEITHER
from pipeline.prediction_rows import case_of, prediction_row
from transforms.breast_mri.exam_boxes import box_places, malignancy
from transforms.breast_mri.lesion_boxes import CLASSES, MALIGNANT
from transforms.grid import Grid, triple

OUTCOMES = {FOUND: "found", NEITHER: "again", FALSE: "false"}  # again: on a lesion that a higher score has found
PLACE = ("x_mm", "y_mm", "z_mm", "size_x_mm", "size_y_mm", "size_z_mm")
DETECTIONS = ("exam_id", "side", "split", "class", "score", *PLACE, "iou", "outcome")
OUTLINES = ("exam_id", "side", "split", "class", *PLACE)
_SHOWN = 0.1  # boxes of a lower score are in no picture


class WriteBoxes(MapWriter):
    """Writes `predictions.csv`, `detections.csv`, `outlines.csv`, `localisation.csv`, `maps/*.npz` and `stacks/*.npz`.

    A breast's score is its highest malignant confidence, 0 without a box (paper, §3.2). `detections.csv` has a row a
    box: its class, its confidence, its centre in RAS mm and its extent in mm along the breast's axes, and where lesions
    of that class are outlined, the largest overlap with one and whether it found one, by an overlap of `iou`.
    `outlines.csv` has a row an outlined lesion. `localisation.csv` is as `pipeline.breast_mri.write_breasts` has it,
    with the centre of the malignant box of the highest score as peak; a breast without one is missed, at no distance.

    The evaluator's prediction is a list with `boxes`, `labels` and `scores` of each breast.

    Args:
        output_dir, fold, maps, radius_mm: as of `pipeline.breast_mri.write_maps.MapWriter`.
        shown: the channel that the gallery shows.
        iou: overlap from which a box finds a lesion.
        stacks: keep all slices of every test breast with its boxes, `stacks/*.npz`, for the page with every exam.
    """

    def __init__(self, output_dir: Path | str, fold: int, shown: int = 0, maps: int = 8, radius_mm: float = 20.0,
                 iou: float = 0.1, stacks: bool = False) -> None:
        super().__init__(output_dir, fold, maps, radius_mm)
        self.shown, self.iou, self.stacks = int(shown), float(iou), bool(stacks)
        self.detections: list[dict[str, Any]] = []
        self.outlines: list[dict[str, Any]] = []

    def start(self, engine: Engine) -> None:
        super().start(engine)
        self.detections, self.outlines = [], []

    def collect(self, engine: Engine) -> None:
        """Take one batch's boxes."""
        batch: Any = engine.state.batch
        for i, found in enumerate(engine.state.output["pred"]):
            row = prediction_row(case_of(batch, i), self.fold, score=round(malignancy(found), 6))
            self.rows.append(row)
            boxes, labels, scores = (found[key].detach().cpu().numpy() for key in ("boxes", "labels", "scores"))
            grid = Grid(triple(batch["image"][i].shape[1:]), np.asarray(batch["affine"][i]))
            self._collect_boxes(row, boxes, labels, scores, batch["targets"][i], grid)
            if row["split"] == "test":
                best = boxes[labels == MALIGNANT][np.argsort(-scores[labels == MALIGNANT], kind="stable")[:1]]
                self._collect_map(row, batch["image"][i], (boxes, labels, scores), best, batch["lesions"][i], grid)
                if self.stacks:
                    sure = scores >= _SHOWN
                    told = np.column_stack([boxes, labels == MALIGNANT, scores])[sure]
                    save_slices(self.folder, row, self._shown(batch["image"][i]), None, batch["lesions"][i], grid,
                                batch.get("exam_grid", {i: None})[i], boxes=told)

    def _collect_boxes(self, row: Mapping[str, Any], boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray,
                       targets: Mapping[str, Any], grid: Grid) -> None:
        about = {key: row[key] for key in ("exam_id", "side", "split")}
        true, classes = targets["boxes"].cpu().numpy(), targets["labels"].cpu().numpy()
        for label, name in CLASSES.items():
            lesions = true[classes == label]
            self.outlines += [{**about, "class": name, **place} for place in _places(lesions, grid)]
            own = np.flatnonzero(labels == label)
            own = own[np.argsort(-scores[own], kind="stable")]
            results, overlap = matched(boxes[own], lesions, self.iou)
            self.detections += [
                {**about, "class": name, "score": round(float(scores[k]), 6), **place, "iou": round(float(iou), 4),
                 "outcome": OUTCOMES[int(result)]}
                for k, place, iou, result in zip(own, _places(boxes[own], grid), overlap, results, strict=True)]

    def _collect_map(self, row: dict[str, Any], image: Any, found: tuple[np.ndarray, np.ndarray, np.ndarray],
                     best: np.ndarray, lesions: list[list[float]], grid: Grid) -> None:
        malignant = [lesion[:3] for lesion in lesions if lesion[3]] if row["label"] else []
        middle = (best[:, :3] + best[:, 3:] - 1) / 2
        if malignant:
            body = body_mask(image[None], 0)[0, 0].cpu().numpy() > 0
            peak = middle[0] if len(best) else np.full(3, np.inf)
            self.peaks.append({"exam_id": row["exam_id"], "side": row["side"],
                               **pointing(peak, body, grid, malignant, self.radius_mm)})
        if len(self.kept) < self.maps:
            z = round(malignant[0][2] if malignant else float(middle[0, 2]) if len(best) else grid.shape[2] // 2)
            shown = self._shown(image)
            boxes, labels, scores = found
            here = (boxes[:, 2] <= z) & (boxes[:, 5] > z) & (scores >= _SHOWN)
            rows = grid.shape[1]
            self.kept[f"{row['exam_id']}_{row['side']}"] = {
                **plane_picture(shown, np.zeros_like(shown), lesions, z),
                "boxes": np.stack([rows - boxes[here, 4], boxes[here, 0], rows - boxes[here, 1], boxes[here, 3]], 1),
                "box_malignant": labels[here] == MALIGNANT, "box_score": scores[here],
                **{name: row[name] for name in ("label", "score", "exam_id", "side")}}

    def _shown(self, image: Any) -> np.ndarray:
        return np.asarray(image[min(self.shown, len(image) - 1)].float().cpu().numpy())

    def write(self, engine: Engine) -> None:
        write_table(self.folder / "detections.csv", self.detections, DETECTIONS)
        write_table(self.folder / "outlines.csv", self.outlines, OUTLINES)
        super().write(engine)


def _places(boxes: np.ndarray, grid: Grid) -> list[dict[str, float]]:
    """Boxes in voxels as columns in mm."""
    return [dict(zip(PLACE, (round(float(v), 2) for v in (*center, *size)), strict=True))
            for center, size in zip(*box_places(boxes, grid), strict=True)]
