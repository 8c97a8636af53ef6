"""What MRI's evaluations with maps share: where the maps point to, and pictures of some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ignite.engine import Engine

from pipeline.evaluations import PredictionWriter
from pipeline.files.atomic import write_arrays, write_table


class MapWriter(PredictionWriter):
    """Writes `predictions.csv`, and with maps `localisation.csv` and `maps/*.npz`; what is in them is `collect`'s.

    Args:
        output_dir: where the files go.
        fold: the fold, for the table.
        maps: how many breasts of the test split to keep maps of.
        radius_mm: a peak this near to a lesion's centre is on it.
    """

    def __init__(self, output_dir: Path | str, fold: int, maps: int, radius_mm: float) -> None:
        super().__init__(output_dir, fold)
        self.maps = int(maps)
        self.radius_mm = float(radius_mm)
        self.peaks: list[dict[str, Any]] = []
        self.kept: dict[str, dict[str, Any]] = {}

    def start(self, engine: Engine) -> None:
        super().start(engine)
        self.peaks, self.kept = [], {}

    def write(self, engine: Engine) -> None:
        if self.peaks:
            write_table(self.folder / "localisation.csv", self.peaks)
        for name, picture in self.kept.items():
            write_arrays(self.folder / "maps" / f"{name}.npz", **picture)
        super().write(engine)
