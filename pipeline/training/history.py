"""Write how a training went, epoch by epoch."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events

from pipeline.files.atomic import write_table
from pipeline.files.tables import read_table


class History:
    """Writes `history.csv`: a row an epoch with the trainer's metrics and the evaluator's.

    Put it behind the handler that validates. A resumed run keeps the rows of the epochs that were finished.

    Args:
        evaluator: what validates each epoch.
        output_dir: where the file goes.
    """

    def __init__(self, evaluator: Engine, output_dir: Path | str) -> None:
        self.evaluator = evaluator
        self.path = Path(output_dir) / "history.csv"

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Put this epoch's row behind the rows of the epochs before it."""
        before: list[dict[str, object]] = []
        if self.path.is_file():
            before = [dict(row.cells) for row in read_table(self.path, ["epoch"])
                      if row.required_number("epoch") < engine.state.epoch]
        validated = self.evaluator.state.metrics if self.evaluator.state.epoch == engine.state.epoch else {}
        metrics = {**engine.state.metrics, **validated}
        row = {"epoch": engine.state.epoch, **{name: round(float(value), 6) for name, value in metrics.items()}}
        write_table(self.path, [*before, row])
