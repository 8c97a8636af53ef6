"""What leaves an evaluation's files: begins with nothing, takes every batch, writes when all were seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pipeline.files.atomic import write_table


class EvaluationWriter(ABC):
    """A handler of an evaluator; what is collected and written is the subclass's.

    Args:
        output_dir: where the files go.
    """

    def __init__(self, output_dir: Path | str) -> None:
        self.folder = Path(output_dir)

    def attach(self, engine: Engine) -> None:
        """Collect after each batch of an evaluator, write at its end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    @abstractmethod
    def start(self, engine: Engine) -> None:
        """Forget an earlier run."""

    @abstractmethod
    def collect(self, engine: Engine) -> None:
        """Take one batch, `engine.state.batch`, and its prediction, `engine.state.output["pred"]`."""

    @abstractmethod
    def write(self, engine: Engine) -> None:
        """Write the files, each in one piece, and say where they are."""


class PredictionWriter(EvaluationWriter):
    """Writes `predictions.csv` of the rows that `collect` adds, each of `pipeline.prediction_rows.prediction_row`.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
    """

    def __init__(self, output_dir: Path | str, fold: int) -> None:
        super().__init__(output_dir)
        self.fold = int(fold)
        self.rows: list[dict[str, Any]] = []

    def start(self, engine: Engine) -> None:
        self.rows = []

    def write(self, engine: Engine) -> None:
        write_table(self.folder / "predictions.csv", self.rows)
        print(f"{len(self.rows)} predictions in {self.folder / 'predictions.csv'}", flush=True)
