"""Write an evaluation's four answers an exam, and where their maps point to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from pipeline.breast_mri.map_records import peak_of, plane_picture, pointing, save_slices
from pipeline.breast_mri.slice_stacks import TASKS, UNKNOWN
from pipeline.breast_mri.write_maps import MapWriter
from pipeline.explain.evidence import body_mask
from pipeline.prediction_rows import prediction_row
from transforms.grid import Grid, triple
from transforms.read_prepared import open_prepared, to_tensor


class WriteFourLabels(MapWriter):
    """Writes `predictions.csv`, a row a breast and task, and with maps `localisation.csv` and `maps/*.npz`.

    Column `task` is `malignant` or `benign`; an answer whose label is unknown, as that of a breast which was not
    imaged, has no row. `localisation.csv` says for every test breast with a finding of the task and a marked lesion of
    its kind whether the hottest voxel of that answer's map lies on one, see `pipeline.metrics.localisation`. The
    gallery shows maps of malignancy. Tables hold study ids only.

    The evaluator's prediction is logits `(B, 8)`, or a dictionary of them as `logits` and maps as `heatmap`,
    `(B, 4, X, Y, Z)`.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
        maps: how many breasts of the test split to keep maps of.
        radius_mm: a peak this near to a lesion's centre is on it.
        stacks: keep all slices of every test breast's map of malignancy, `stacks/*.npz`, for the page with every exam;
            lesions of that breast are marked.
    """

    def __init__(self, output_dir: Path | str, fold: int, maps: int = 8, radius_mm: float = 20.0,
                 stacks: bool = False) -> None:
        super().__init__(output_dir, fold, maps, radius_mm)
        self.stacks = bool(stacks)

    def collect(self, engine: Engine) -> None:
        """Take one batch's scores and maps."""
        batch: Any = engine.state.batch
        pred = engine.state.output["pred"]
        logits = pred["logits"] if isinstance(pred, dict) else pred
        maps = pred.get("heatmap") if isinstance(pred, dict) else None
        scores = logits.detach().float().unflatten(1, (-1, 2)).softmax(dim=2)[..., 1].cpu().tolist()
        for i, own in enumerate(scores):
            case = {key: batch[key][i] for key in ("exam_id", "patient_id", "split", "groups", "lesions", "affine",
                                                   "array")}
            case["exam_grid"] = batch.get("exam_grid", {i: None})[i]
            body = None
            # The task that leads comes first, and its maps are those that are shown.
            for answer in sorted(range(len(TASKS)), key=lambda answer: TASKS[answer][1] != "malignant"):
                side, task = TASKS[answer]
                if (label := int(batch["label"][i][answer])) == UNKNOWN:
                    continue
                readers = {name: scores_of.get(side) if task == "malignant" else None
                           for name, scores_of in batch["readers"][i].items()}
                row = prediction_row({**case, "side": side, "label": label, "readers": readers}, self.fold,
                                     {"task": task}, score=round(own[answer], 6))
                self.rows.append(row)
                if maps is not None and row["split"] == "test":
                    body = _body(case["array"]) if body is None else body
                    self._collect_map(row, case, batch["image"][i, 0], maps[i, answer].detach().cpu().numpy(), body)

    def _collect_map(self, row: dict[str, Any], case: Mapping[str, Any], image: torch.Tensor, heat: np.ndarray,
                     body: np.ndarray) -> None:
        side = [(*place, malignant) for *place, of, malignant in case["lesions"] if of == row["side"]]
        wanted = [lesion[:3] for lesion in side if lesion[3] == int(row["task"] == "malignant")] if row["label"] else []
        if wanted:
            grid = Grid(triple(heat.shape), np.asarray(case["affine"]))
            self.peaks.append({"exam_id": row["exam_id"], "side": row["side"], "task": row["task"],
                               **pointing(peak_of(heat), body, grid, wanted, self.radius_mm)})
        if row["task"] == "malignant" and self.stacks:
            save_slices(self.folder, row, image.float().cpu().numpy(), heat, side, Grid(triple(heat.shape),
                        np.asarray(case["affine"])), case["exam_grid"], mirrored=True)
        if row["task"] == "malignant" and len(self.kept) < self.maps:
            z = round(wanted[0][2]) if wanted else int(peak_of(heat)[2])
            both = [(*place, malignant) for *place, _, malignant in case["lesions"]]
            self.kept[f"{row['exam_id']}_{row['side']}"] = {
                **plane_picture(image.float().cpu().numpy(), heat, both, z, mirrored=True),
                **{name: row[name] for name in ("label", "score", "exam_id", "side")}}


def _body(path: Path | str) -> np.ndarray:
    """Where there is tissue in an exam's stack, `(X, Y, Z)`, by its phase before contrast, the first."""
    before = to_tensor(open_prepared(path)[:1], path).permute(0, 3, 2, 1)
    return body_mask(before[None])[0, 0].numpy() > 0
