"""What all evaluations with maps share: rows, peaks and pictures are collected, and written when all are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pipeline.files.atomic import write_arrays, write_table


class PredictionWriter(ABC):
    """Writes `predictions.csv`, and with maps `localisation.csv` and `maps/*.npz`; what is in them is `collect`'s.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
        maps: how many breasts of the test split to keep maps of.
        radius_mm: a peak this near to a lesion's centre is on it.
    """

    def __init__(self, output_dir: Path | str, fold: int, maps: int, radius_mm: float) -> None:
        self.folder = Path(output_dir)
        self.fold = int(fold)
        self.maps = int(maps)
        self.radius_mm = float(radius_mm)
        self.rows: list[dict[str, Any]] = []
        self.peaks: list[dict[str, Any]] = []
        self.kept: dict[str, dict[str, Any]] = {}

    def attach(self, engine: Engine) -> None:
        """Collect after each batch of an evaluator, write at its end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Forget an earlier run."""
        self.rows, self.peaks, self.kept = [], [], {}

    @abstractmethod
    def collect(self, engine: Engine) -> None:
        """Take one batch's scores and maps into `rows`, `peaks` and `kept`."""

    def write(self, engine: Engine) -> None:
        """Write the tables, each in one piece, and say where they are."""
        write_table(self.folder / "predictions.csv", self.rows)
        if self.peaks:
            write_table(self.folder / "localisation.csv", self.peaks)
        for name, picture in self.kept.items():
            write_arrays(self.folder / "maps" / f"{name}.npz", **picture)
        print(f"{len(self.rows)} predictions in {self.folder / 'predictions.csv'}", flush=True)
