"""Write how a training went, epoch by epoch."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from pipeline.files.atomic import write_table
from pipeline.files.tables import read_table


class History:
    """Writes `history.csv`: a row an epoch with the optimiser steps so far, its rate, and all metrics.

    Put it behind the handler that validates. A resumed run keeps the rows of the epochs that were finished.

    Args:
        evaluator: what validates each epoch.
        optimizer: whose learning rate, that of the first parameter group when the epoch began, is written.
        output_dir: where the file goes.
    """

    def __init__(self, evaluator: Engine, optimizer: torch.optim.Optimizer, output_dir: Path | str) -> None:
        self.evaluator = evaluator
        self.optimizer = optimizer
        self.path = Path(output_dir) / "history.csv"
        self.rate = math.nan

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def note(self, engine: Engine) -> None:
        """Look at the rate now: when the epoch is over, the schedule has set the next one's."""
        self.rate = self.optimizer.param_groups[0]["lr"]

    def write(self, engine: Engine) -> None:
        """Put this epoch's row behind the rows of the epochs before it."""
        before: list[dict[str, object]] = []
        if self.path.is_file():
            before = [dict(row.cells) for row in read_table(self.path, ["epoch"])
                      if row.required_number("epoch") < engine.state.epoch]
        validated = self.evaluator.state.metrics if self.evaluator.state.epoch == engine.state.epoch else {}
        metrics = {**engine.state.metrics, **validated}
        row = {"epoch": engine.state.epoch, "step": engine.state.iteration, "learning_rate": float(f"{self.rate:.6g}"),
               **{name: round(float(value), 6) for name, value in metrics.items()}}
        write_table(self.path, [*before, row])
