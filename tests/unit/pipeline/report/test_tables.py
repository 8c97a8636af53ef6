"""One table of predictions: one line for each fault, which names the exam and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from doubly_deep_study import write_two_tasks
from written_study import in_table, write_run

from pipeline.errors import InputError
from pipeline.report.predictions import load_run
from pipeline.report.tables import read_table

FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {  # what is done, and what the message must name
    "empty table": (lambda run: (run / "main/fold0/predictions.csv").write_text(""), "fold0/predictions.csv"),
    "NaN score": (in_table("score", "nan"), "E0t059"),
    "score of 1.2": (in_table("score", "1.2"), "E0t059"),
    "label of 2": (in_table("label", "2"), "E0t059"),
    "no label": (in_table("label", ""), "E0t059"),
    "split": (in_table("split", "train"), "E0t059"),
    "fold": (in_table("fold", "4"), "E0t059"),
    "reader": (in_table("reader_one", "x"), "reader_one"),
    "duplicate": (in_table("side", "L"), "twice"),
    "leak": (in_table("patient_id", "SECRET0v1"), "E0t059"),
}
TASK_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no column": (lambda run: pd.read_csv(run / "t1/fold1/predictions.csv").drop(columns="task").to_csv(
        run / "t1/fold1/predictions.csv", index=False), "t1/fold1/predictions.csv: column task is missing"),
    "another task": (in_table("task", "cyst", "t1/fold1"), "task 'cyst' is none of malignant, benign"),
    "label of 2": (in_table("label", "2", "t1/fold1"), "label is neither 0 nor 1"),
    "twice": (in_table("side", "L", "t1/fold1"), "is listed twice"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_table_are_told_in_one_line(fault: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    damage, named = FAULTS[fault]
    damage(run)
    with pytest.raises(InputError) as told:
        load_run(run)
    line = str(told.value)
    assert named in line and "python -m pipeline study" in line  # the remedy
    assert "SECRET" not in line and "\n" not in line


def test_missing_columns_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = run / "main" / "fold0" / "predictions.csv"
    pd.read_csv(path).drop(columns=["score", "side"]).to_csv(path, index=False)
    with pytest.raises(InputError, match="column side, score is missing"):
        load_run(run)


@pytest.mark.parametrize("fault", TASK_FAULTS)
def test_faults_of_tasks_in_a_table_are_told_in_one_line(fault: str, tmp_path: Path) -> None:
    run = write_two_tasks(tmp_path / "run")
    change, named = TASK_FAULTS[fault]
    change(run)
    with pytest.raises(InputError) as told:
        load_run(run)
    assert named in str(told.value) and "\n" not in str(told.value)


def test_rows_come_sorted_with_numbers_as_numbers(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run") / "main" / "fold0" / "predictions.csv"
    pd.read_csv(path, dtype=str, keep_default_na=False)[::-1].to_csv(path, index=False)
    table = read_table(path, 0, "main")
    assert list(table["exam_id"][:3]) == ["E0t000", "E0t000", "E0t001"] and list(table["side"][:2]) == ["L", "R"]
    assert table["label"].dtype == int and table["score"].between(0, 1).all()
    assert table["reader_one"].isna().sum() == 24  # every tenth of 2 × 60 patients, both breasts
