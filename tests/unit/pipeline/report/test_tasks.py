"""A study of several tasks: each as a study of that task alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from doubly_deep_study import SHIFTS, write_exams, write_two_tasks
from sklearn.metrics import roc_auc_score

from pipeline.report.analyse import analyse
from pipeline.report.predictions import load_run
from pipeline.report.tasks import by_task


def alone(two_tasks: Path, folder: Path, task: str) -> Any:
    """The numbers of a study that has the rows of one task, and no column that says so."""
    folder.mkdir()
    study = json.loads((two_tasks / "study.json").read_text())
    study.pop("tasks")
    (folder / "study.json").write_text(json.dumps(study))
    for name in SHIFTS:
        for fold in (0, 1):
            table = pd.read_csv(two_tasks / name / f"fold{fold}" / "predictions.csv", dtype=str)
            table = table[(table["task"] == task) & (table["label"] != "-1")].drop(columns="task")
            (folder / name / f"fold{fold}").mkdir(parents=True)
            table.to_csv(folder / name / f"fold{fold}" / "predictions.csv", index=False)
    return analyse(load_run(folder), 100)


def test_each_task_has_the_numbers_of_a_study_of_that_task_alone(two_tasks: Path, tmp_path: Path) -> None:
    found = json.loads((two_tasks / "metrics.json").read_text())
    assert found["task"] == "malignant" and list(found["tasks"]) == ["benign"]
    benign = found["tasks"]["benign"]
    parts = ("notes", "variants", "comparisons", "selection", "subgroups", "readers")
    for task, entry in (("malignant", found), ("benign", benign)):
        one = alone(two_tasks, tmp_path / task, task)
        assert {part: entry[part] for part in parts} == {part: one[part] for part in parts}
        assert "tasks" not in one and "task" not in one
    assert found["variants"]["t1"]["n"] == 80 and benign["variants"]["t1"]["n"] == 60  # 5 of 20 exams are not known
    table = pd.read_csv(two_tasks / "t2-t0" / "fold1" / "predictions.csv")
    table = table[(table["split"] == "test") & (table["task"] == "benign") & (table["label"] >= 0)]
    assert benign["variants"]["t2-t0"]["auroc"]["per_fold"][1] == pytest.approx(
        roc_auc_score(table["label"], table["score"]), abs=1e-5)


def test_a_fold_and_a_task_that_test_nothing_are_left_out_and_said(tmp_path: Path) -> None:
    run = write_two_tasks(tmp_path / "run")
    for name, shift in SHIFTS.items():
        write_exams(run, name, 1, shift, unknown=20)
    metrics = analyse(load_run(run), 100)
    assert metrics["folds"] == [0, 1] and metrics["tasks"]["benign"]["folds"] == [0]
    assert metrics["notes"] == ["benign: no test row has a label in fold 1; it is left out there."]
    for name, shift in SHIFTS.items():
        write_exams(run, name, 0, shift, unknown=20)
    metrics = analyse(load_run(run), 100)
    assert metrics["tasks"] == {} and len(metrics["notes"]) == 2 and metrics["task"] == "malignant"


def test_tasks_that_the_study_does_not_name_lead_as_they_come(tmp_path: Path) -> None:
    run = write_two_tasks(tmp_path / "run", tasks=None)
    lead, other = by_task(load_run(run))
    assert (lead.task, other.task) == ("malignant", "benign") and lead.leads and not other.leads
    assert lead.study["variants"]["t1"]["paper"] == {"auroc": [0.6999]}  # without a task's name: the first one's
    assert other.study["variants"]["t1"]["paper"] == {} and other.study["positive"] == "benign"
    named = by_task(load_run(write_two_tasks(tmp_path / "named", tasks=["benign", "malignant"])))
    assert [run.task for run in named] == ["benign", "malignant"]
