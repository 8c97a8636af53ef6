"""Write an evaluation's predictions of crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pipeline.files.atomic import write_table
from pipeline.prediction_rows import case_of, prediction_row


class WriteCropPredictions:
    """Writes `predictions.csv`, one row a crop and view; `variant` names the view (centre-point ultrasound, table 2).

    The evaluator's prediction is one logit a crop, `(B, 1)`. The table holds study ids only.

    Args:
        output_dir: where the file goes.
        fold: the fold, for the table.
    """

    def __init__(self, output_dir: Path | str, fold: int) -> None:
        self.folder = Path(output_dir)
        self.fold = int(fold)
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        self.rows = []

    def collect(self, engine: Engine) -> None:
        """Take one batch."""
        batch: Any = engine.state.batch
        scores = engine.state.output["pred"].detach().float().sigmoid()[:, 0].cpu().tolist()
        for i, score in enumerate(scores):
            self.rows.append({"variant": batch["view"][i], **prediction_row(
                case_of(batch, i), self.fold, {"image_id": batch["image_id"][i]}, score=round(score, 6))})

    def write(self, engine: Engine) -> None:
        """Write the table in one piece, and say where it is."""
        write_table(self.folder / "predictions.csv", self.rows)
        print(f"{len(self.rows)} predictions in {self.folder / 'predictions.csv'}", flush=True)
