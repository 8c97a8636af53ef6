"""Write an evaluation's predictions of lesions, each from its slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pipeline.handlers.write_predictions import write_table


class WriteLesionPredictions:
    """Writes `predictions.csv`, one row a lesion: its score is the maximum over its slices (contrast transfer, §3).

    The evaluator's prediction is logits `(B, 2)`, one row a slice.

    Args:
        output_dir: where the table goes; it holds study ids only.
        fold: the fold, for the table.
    """

    def __init__(self, output_dir: Path | str, fold: int) -> None:
        self.folder = Path(output_dir)
        self.fold = int(fold)
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        self.rows = {}

    def collect(self, engine: Engine) -> None:
        """Take one batch of slices."""
        batch = engine.state.batch
        scores = engine.state.output["pred"].detach().float().softmax(dim=1)[:, 1].cpu().tolist()
        for i, score in enumerate(scores):
            key = (batch["exam_id"][i], batch["lesion_id"][i])
            row = self.rows.setdefault(key, {
                "exam_id": key[0], "patient_id": batch["patient_id"][i], "side": batch["side"][i], "lesion_id": key[1],
                "fold": self.fold, "split": batch["split"][i], "label": int(batch["label"][i]), "score": 0.0,
                "slices": 0, **{f"group_{name}": value for name, value in batch["groups"][i].items()}})
            row["score"] = max(row["score"], round(score, 6))
            row["slices"] += 1

    def write(self, engine: Engine) -> None:
        """Write the table in one piece, and say where it is."""
        path = self.folder / "predictions.csv"
        write_table(path, list(self.rows.values()))
        print(f"{len(self.rows)} lesions in {path}", flush=True)
