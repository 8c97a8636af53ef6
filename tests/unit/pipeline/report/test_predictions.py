"""The tables that a report reads: one line for each fault, and the exams that all variants have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from doubly_deep_study import SHIFTS, write_exams, write_two_tasks
from written_study import VARIANTS, in_table, write_map, write_run

from pipeline.__main__ import main
from pipeline.report.predictions import _keep_common, load_localisation, load_run
from pipeline.report.tasks import by_task


def test_variants_are_compared_on_the_exams_of_all(capsys) -> None:
    tables = {name: {0: pd.DataFrame({"exam_id": exams, "score": 0.5})}
              for name, exams in {"own": ["A", "B", "C"], "others": ["A", "C"]}.items()}
    _keep_common(tables)
    assert [list(folds[0]["exam_id"]) for folds in tables.values()] == [["A", "C"]] * 2
    assert capsys.readouterr().out == "left out: 1 exams that not all variants score\n"


def other_hits(run: Path) -> None:
    (run / "main/fold0/localisation.csv").write_text("exam_id,side,hit\nE,L,2\n")


def patient_in_two_folds(run: Path) -> None:
    for variant in VARIANTS:
        in_table("patient_id", "SECRET0t1", f"{variant}/fold1")(run)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {  # what is done, and what the message must name
    "no study": (lambda run: (run / "study.json").unlink(), "study.json"),
    "not a study": (lambda run: (run / "study.json").write_text("{}"), "study.json"),
    "missing fold": (lambda run: (run / "base_a/fold1/predictions.csv").unlink(), "base_a/fold1"),
    "two folds": (patient_in_two_folds, "E1t059"),
    "other breasts": (in_table("exam_id", "E9", "base_b/fold0"), "base_b/fold0"),
    "damaged map": (lambda run: (run / "main/fold0/maps/a.npz").write_bytes(b"PK\x03\x04"), "a.npz"),
    "two planes": (lambda run: write_map(run / "main/fold0/maps/a.npz", heat=np.zeros((3, 3))), "a.npz"),
    "hit of 2": (other_hits, "localisation.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_in_one_line(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    damage, named = FAULTS[fault]
    damage(run)
    assert main(["report", str(run), "--replicates", "100"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert "python -m pipeline study" in line  # the remedy
    assert "SECRET" not in line
    assert not (run / "report.html").exists() and not (run / "metrics.json").exists()


TASK_FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "unknown in one": (in_table("label", "-1", "t1/fold1"), "t1/fold1 tests other breasts, or other labels"),
    "none": (lambda run: [write_exams(run, name, fold, 1.0, lead_unknown=20) for name in SHIFTS for fold in (0, 1)],
             "no test row has a label of malignant")}


@pytest.mark.parametrize("fault", TASK_FAULTS)
def test_faults_of_tasks_are_told_in_one_line(tmp_path: Path, capsys, fault: str) -> None:
    run = write_two_tasks(tmp_path / "run")
    change, named = TASK_FAULTS[fault]
    change(run)
    assert main(["report", str(run), "--replicates", "100"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line and not (run / "metrics.json").exists()


def test_hits_of_a_map_are_of_their_task(tmp_path: Path) -> None:
    run = write_two_tasks(tmp_path / "run")
    table = pd.read_csv(run / "t2-t0/fold0/predictions.csv").query("split == 'test' and label == 1")
    hits = table[["exam_id", "side", "task"]].assign(hit=(table["task"] == "benign").astype(int))
    hits.to_csv(run / "t2-t0/fold0/localisation.csv", index=False)
    lead, other = by_task(load_run(run))
    for of, hit in ((lead, 0), (other, 1)):
        found = load_localisation(of, "t2-t0")
        assert set(found["hit"]) == {hit} and len(found) == (table["task"] == of.task).sum()
    hits.drop(columns="task").drop_duplicates(["exam_id", "side"]).to_csv(run / "t2-t0/fold0/localisation.csv",
                                                                         index=False)
    assert len(load_localisation(lead, "t2-t0")) and not len(load_localisation(other, "t2-t0"))
