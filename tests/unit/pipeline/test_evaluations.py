"""A writer's files hold one run of its evaluator, all batches of it."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation import rows
from ignite.engine import Engine

from pipeline.evaluations import PredictionWriter


class Names(PredictionWriter):
    def collect(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        self.rows.append({"exam_id": batch, "fold": self.fold})


def step(engine: Engine, batch: str) -> str:
    if batch == "damaged":
        raise ValueError(batch)
    return batch


def test_a_second_run_replaces_the_first(tmp_path, capsys) -> None:
    engine = Engine(step)
    Names(tmp_path, 3).attach(engine)
    engine.run(["E0", "E1", "E2"])
    assert rows(tmp_path / "predictions.csv") == [{"exam_id": f"E{i}", "fold": "3"} for i in range(3)]
    engine.run(["E2", "E3"])
    assert [row["exam_id"] for row in rows(tmp_path / "predictions.csv")] == ["E2", "E3"]
    assert capsys.readouterr().out.splitlines()[-1] == f"2 predictions in {tmp_path / 'predictions.csv'}"


def test_an_evaluation_that_fails_leaves_the_files_of_the_last_one(tmp_path) -> None:
    engine = Engine(step)
    Names(tmp_path, 0).attach(engine)
    engine.run(["E0", "E1"])
    with pytest.raises(ValueError, match="damaged"):
        engine.run(["E2", "damaged"])
    assert [row["exam_id"] for row in rows(tmp_path / "predictions.csv")] == ["E0", "E1"]
