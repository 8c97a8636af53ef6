"""Readers beside variants: from which score they are positive."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from written_study import rows_of_test, write_run

from pipeline.__main__ import main


def test_from_which_score_a_reader_is_positive_is_a_setting(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert main(["report", str(run), "--replicates", "100", "--positive-from", "2"]) == 0
    read = pd.concat([rows_of_test(run, "main", fold) for fold in (0, 1)]).dropna(subset="reader_one")
    reader = json.loads((run / "metrics.json").read_text())["readers"]["one"]
    assert reader["positive_from"] == 2
    right = read["reader_one"][read["label"] == 0] < 2
    assert reader["specificity"]["value"] == pytest.approx(right.mean(), abs=1e-5)
    assert "2 (of 1 to 5)" in (run / "report.html").read_text()
