"""Write an evaluation's predictions of crops."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from pipeline.evaluations import PredictionWriter
from pipeline.prediction_rows import case_of, prediction_row


class WriteCropPredictions(PredictionWriter):
    """Writes `predictions.csv`, one row a crop and view; `variant` names the view (centre-point ultrasound, table 2).

    The evaluator's prediction is one logit a crop, `(B, 1)`. The table holds study ids only.

    Args:
        output_dir: where the file goes.
        fold: the fold, for the table.
    """

    def collect(self, engine: Engine) -> None:
        """Take one batch."""
        batch: Any = engine.state.batch
        scores = engine.state.output["pred"].detach().float().sigmoid()[:, 0].cpu().tolist()
        for i, score in enumerate(scores):
            self.rows.append({"variant": batch["view"][i], **prediction_row(
                case_of(batch, i), self.fold, {"image_id": batch["image_id"][i]}, score=round(score, 6))})
