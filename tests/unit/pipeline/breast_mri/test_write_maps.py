"""A writer's files hold one run of its evaluator, all batches of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from pipeline.breast_mri.write_maps import PredictionWriter


class Names(PredictionWriter):
    def collect(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        self.rows.append({"exam_id": batch, "fold": self.fold})
        if batch == "E2":
            self.peaks.append({"exam_id": batch, "hit": 1})


def column(path: Path) -> list[str]:
    with path.open() as file:
        return [row["exam_id"] for row in csv.DictReader(file)]


def test_a_second_run_replaces_the_first(tmp_path, capsys) -> None:
    engine = Engine(lambda engine, batch: batch)
    Names(tmp_path, 3, maps=0, radius_mm=20.0).attach(engine)
    engine.run(["E0", "E1", "E2"])
    assert column(tmp_path / "predictions.csv") == ["E0", "E1", "E2"]
    assert column(tmp_path / "localisation.csv") == ["E2"]
    engine.run(["E2", "E3"])
    assert column(tmp_path / "predictions.csv") == ["E2", "E3"]
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 predictions in ")
