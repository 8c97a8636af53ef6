"""Where maps point to and pictures of them are of one run, and lie there before the table that says it is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from evaluation import rows
from ignite.engine import Engine

from pipeline.breast_mri.write_maps import MapWriter
from pipeline.errors import InputError


class Names(MapWriter):
    def collect(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        self.rows.append({"exam_id": batch, "fold": self.fold})
        if batch == "E2":
            self.peaks.append({"exam_id": batch, "hit": 1})
        if len(self.kept) < self.maps:
            self.kept[batch] = {"heat": np.full((2, 2), 0.5, np.float16)}


def test_a_second_run_replaces_the_first(tmp_path) -> None:
    engine = Engine(lambda engine, batch: batch)
    Names(tmp_path, 3, maps=1, radius_mm=20.0).attach(engine)
    engine.run(["E0", "E1", "E2"])
    assert len(rows(tmp_path / "predictions.csv")) == 3
    engine.run(["E1", "E2", "E2"])
    assert rows(tmp_path / "localisation.csv") == [{"exam_id": "E2", "hit": "1"}] * 2
    with np.load(tmp_path / "maps" / "E1.npz") as picture:
        assert picture["heat"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert [row["exam_id"] for row in rows(tmp_path / "predictions.csv")] == ["E1", "E2", "E2"]


def test_the_table_is_written_last(tmp_path) -> None:
    (tmp_path / "maps").write_text("a file, where the folder of pictures should be")
    engine = Engine(lambda engine, batch: batch)
    Names(tmp_path, 3, maps=1, radius_mm=20.0).attach(engine)
    with pytest.raises(InputError, match="cannot be written"):
        engine.run(["E0"])
    assert not (tmp_path / "predictions.csv").exists()
