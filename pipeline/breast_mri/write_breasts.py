"""Write an evaluation's predictions, and the heat maps that the report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

from pipeline.breast_mri.map_records import peak_of, plane_picture, pointing, save_slices
from pipeline.breast_mri.write_maps import MapWriter
from pipeline.explain.evidence import body_mask
from pipeline.prediction_rows import case_of, prediction_row
from transforms.grid import Grid, triple


class WritePredictions(MapWriter):
    """Writes `predictions.csv`, one row a breast, and with heat maps `localisation.csv` and `maps/*.npz`.

    The tables hold study ids only, never paths. `localisation.csv` says for every malignant test breast whether the
    map's peak falls on a malignant lesion: whether the voxel with the largest heat lies within `radius_mm` of a
    malignant centre, how far the nearest one is, and how often a random voxel of the body would (`chance`).

    The evaluator's prediction is either logits `(B, 2)` or the dictionary of `HeatMapInferer`.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
        shown: the channel that the gallery shows, e.g. that of the wash-in.
        maps: how many breasts of the test split to keep maps of.
        radius_mm: a peak this near to a lesion's centre is on it.
        stacks: keep all slices of every test breast's map, `stacks/*.npz`, for the page with every exam.
    """

    def __init__(self, output_dir: Path | str, fold: int, shown: int = 0, maps: int = 8,
                 radius_mm: float = 20.0, stacks: bool = False) -> None:
        super().__init__(output_dir, fold, maps, radius_mm)
        self.shown = int(shown)
        self.stacks = bool(stacks)

    def collect(self, engine: Engine) -> None:
        """Take one batch's scores and maps."""
        batch: Any = engine.state.batch
        pred = engine.state.output["pred"]
        logits = pred["logits"] if isinstance(pred, dict) else pred
        mapped = isinstance(pred, dict) and "heatmap" in pred
        scores = logits.detach().float().softmax(dim=1)[:, 1].cpu().tolist()
        for i, score in enumerate(scores):
            row = prediction_row(case_of(batch, i), self.fold, score=round(score, 6))
            self.rows.append(row)
            if mapped and row["split"] == "test":
                grid = Grid(triple(pred["heatmap"][i].shape), np.asarray(batch["affine"][i]))
                heat = pred["heatmap"][i].detach().cpu()
                self._collect_map(row, batch["image"][i], heat, batch["lesions"][i], grid)
                if self.stacks:
                    save_slices(self.folder, row, self._shown(batch["image"][i]), heat.numpy(), batch["lesions"][i],
                                grid, batch.get("exam_grid", {i: None})[i])

    def _collect_map(self, row: dict[str, Any], image: torch.Tensor, heat: torch.Tensor, lesions: list[list[float]],
                     grid: Grid) -> None:
        malignant = [lesion[:3] for lesion in lesions if lesion[3]] if row["label"] else []
        if malignant:
            body = body_mask(image[None], 0)[0, 0].cpu().numpy() > 0
            self.peaks.append({"exam_id": row["exam_id"], "side": row["side"],
                               **pointing(peak_of(heat.numpy()), body, grid, malignant, self.radius_mm)})
        if len(self.kept) < self.maps:
            z = round(malignant[0][2]) if malignant else int(peak_of(heat.numpy())[2])
            self.kept[f"{row['exam_id']}_{row['side']}"] = {
                **plane_picture(self._shown(image), heat.numpy(), lesions, z),
                **{name: row[name] for name in ("label", "score", "exam_id", "side")}}

    def _shown(self, image: torch.Tensor) -> np.ndarray:
        return np.asarray(image[min(self.shown, len(image) - 1)].float().cpu().numpy())
