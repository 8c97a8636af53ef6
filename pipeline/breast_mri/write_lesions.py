"""Write an evaluation's predictions of lesions, each from its slices, and how the lesions look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine

from pipeline.evaluations import EvaluationWriter
from pipeline.explain.stacks import save_stack
from pipeline.files.atomic import write_arrays, write_table
from pipeline.prediction_rows import case_of, prediction_row
from transforms.read_prepared import open_prepared

PHASES = ("pre", "post1", "post2", "post3", "post4")


class WriteLesionPredictions(EvaluationWriter):
    """Writes `predictions.csv`, one row a lesion: its score is the maximum over its slices (contrast transfer, §3).

    Beside it, for the report's pictures of the user's own data, whatever the subset: `curves.csv`, the mean intensity
    of each test lesion's core in every phase as its files have it, and `contrasts.npz`, one malignant test lesion in
    all contrasts (paper, Fig. 2 and 1). Tables hold study ids only.

    The evaluator's prediction is logits `(B, 2)`, one row a slice.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
        stored: contrasts of the prepared arrays, in their order.
        stacks: keep every test lesion's slices, `stacks/*.npz`, for the page with every exam; there is no map.
    """

    def __init__(self, output_dir: Path | str, fold: int, stored: Sequence[str] = (),
                 stacks: bool = False) -> None:
        super().__init__(output_dir)
        self.fold = int(fold)
        self.stored = list(stored)
        self.stacks = bool(stacks)
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.arrays: dict[tuple[str, str], Path] = {}
        self.curves: dict[tuple[str, str], dict[str, float]] = {}

    def start(self, engine: Engine) -> None:
        self.rows, self.arrays, self.curves = {}, {}, {}

    def collect(self, engine: Engine) -> None:
        """Take one batch of slices."""
        batch: Any = engine.state.batch
        scores = engine.state.output["pred"].detach().float().softmax(dim=1)[:, 1].cpu().tolist()
        for i, score in enumerate(scores):
            key = (batch["exam_id"][i], batch["lesion_id"][i])
            row = self.rows.setdefault(key, prediction_row(case_of(batch, i), self.fold, {"lesion_id": key[1]},
                                                           score=0.0, slices=0))
            row["score"] = max(row["score"], round(score, 6))
            row["slices"] += 1
            if row["split"] == "test" and not batch["missing"][i]:
                self.arrays[key], self.curves[key] = Path(batch["array"][i]), batch["curve"][i]

    def write(self, engine: Engine) -> None:
        path = self.folder / "predictions.csv"
        write_table(path, list(self.rows.values()))
        if set(PHASES) <= set(self.stored) and self.arrays:
            write_table(self.folder / "curves.csv", [{"exam_id": key[0], "lesion_id": key[1],
                                                      "label": self.rows[key]["label"], **self.curves[key]}
                                                     for key in self.arrays])
            shown = next((key for key in self.arrays if self.rows[key]["label"]), next(iter(self.arrays)))
            self._save_contrasts(open_prepared(self.arrays[shown]))
        for key, array in self.arrays.items() if self.stacks else ():
            self._save_stack(key, array)
        print(f"{len(self.rows)} lesions in {path}", flush=True)

    def _save_stack(self, key: tuple[str, str], array: Path) -> None:
        """The lesion's slices in the first contrast after the agent, turned as readers look."""
        first = self.stored.index("post1") if "post1" in self.stored else 0
        patches = np.asarray(open_prepared(array), np.float32)[:, first, ::-1, ::-1]
        low, high = np.percentile(patches, [0.5, 99.5])
        save_stack(self.folder, {"exam_id": key[0], "side": self.rows[key]["side"], "lesion_id": key[1]},
                   (patches - low) / max(high - low, 1e-6), None)

    def _save_contrasts(self, patches: np.ndarray) -> None:
        write_arrays(self.folder / "contrasts.npz", patch=np.asarray(patches[len(patches) // 2]),
                     names=np.asarray(self.stored))
