"""Combined variants by hand, what they may look at, and when they are made again."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from doubly_deep_study import INPUTS, write_bundle, write_exams, write_list, write_predictions

from pipeline.__main__ import main
from pipeline.files.atomic import write_json
from pipeline.study.engines.local import Runner

LABELS = [1, 1, 0, 0]  # of two that rank three of four pairs each, and all together
SCORES = {"a": [0.9, 0.2, 0.3, 0.1], "b": [0.2, 0.9, 0.1, 0.3], "c": [0.1, 0.1, 0.9, 0.9]}
TESTS = {"a": [0.4, 0.9, 0.1], "b": [0.8, 0.5, 0.3], "c": [0.3, 0.1, 0.8]}


def written(run: Path, labels: list = LABELS, test_labels: list = (1, 0, 1)) -> Path:
    for name, scores in SCORES.items():
        write_predictions(run, name, 0, scores, labels, TESTS[name], test_labels)
    return run


def combine(run: Path, kind: str, *more: str, of: str = "a,b,c") -> int:
    return main(["combine", str(run), kind, "--fold", "0", "--kind", kind, "--of", of, *more])


def result(run: Path, name: str) -> tuple[dict, list[float]]:
    folder = run / name / "fold0"
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (json.loads((folder / "weights.json").read_text()),
            [float(row["score"]) for row in rows if row["split"] == "test"])


def test_the_mean_of_three_rows(tmp_path) -> None:
    assert combine(written(tmp_path), "mean") == 0
    weights, scores = result(tmp_path, "mean")
    assert scores == [0.5, 0.5, 0.4]  # (0.4 + 0.8 + 0.3) / 3, (0.9 + 0.5 + 0.1) / 3, (0.1 + 0.3 + 0.8) / 3
    assert weights["weights"] == pytest.approx(dict.fromkeys("abc", 1 / 3))


def test_a_selection_of_three_rows(tmp_path) -> None:
    """a and b err on different validation rows, c on all: half of a and half of b."""
    assert combine(written(tmp_path), "selection") == 0
    weights, scores = result(tmp_path, "selection")
    assert scores == [0.6, 0.7, 0.2]
    assert weights == {"kind": "selection", "fold": 0, "task": None, "validation_auroc": 1.0,
                       "weights": {"a": 0.5, "b": 0.5, "c": 0.0},
                       "added": [{"variant": "a", "validation_auroc": 0.75},
                                 {"variant": "b", "validation_auroc": 1.0}]}


def test_no_test_row_is_taken_into_account(tmp_path) -> None:
    texts = []
    for number, labels in enumerate(([1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0])):
        run = written(tmp_path / str(number), test_labels=labels)
        assert combine(run, "selection") == 0
        texts.append((run / "selection" / "fold0" / "weights.json").read_bytes())
    assert len(set(texts)) == 1
    run = written(tmp_path / "other", labels=[0, 0, 1, 1])  # and the validation rows are
    assert combine(run, "selection") == 0
    assert result(run, "selection")[0]["weights"] == {"a": 0, "b": 0, "c": 1}


def test_the_first_task_selects_and_the_weights_are_for_all(tmp_path) -> None:
    for name, scores in SCORES.items():
        write_predictions(tmp_path, name, 0, scores, LABELS, TESTS[name], [1, 0, -1], "malignant")
        write_predictions(tmp_path, name, 0, scores, [0, 0, 1, 1], TESTS[name], [1, 0, ""], "benign")
    assert combine(tmp_path, "selection") == 0
    weights, scores = result(tmp_path, "selection")
    assert weights["task"] == "malignant" and weights["weights"] == {"a": 0.5, "b": 0.5, "c": 0}
    assert scores == [0.6, 0.7, 0.2] * 2
    assert combine(tmp_path, "selection", "--task", "benign") == 0
    assert result(tmp_path, "selection")[0]["weights"] == {"a": 0, "b": 0, "c": 1}


def test_rows_may_lie_in_another_order(tmp_path) -> None:
    path = written(tmp_path) / "b" / "fold0" / "predictions.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *reversed(rows)]) + "\n")
    assert combine(tmp_path, "selection") == 0
    assert result(tmp_path, "selection")[1] == [0.6, 0.7, 0.2]


@pytest.mark.parametrize(("change", "message"), [
    (lambda run: (run / "b/fold0/predictions.csv").unlink(), "selection: b has no predictions in fold 0"),
    (lambda run: write_predictions(run, "b", 0, SCORES["b"], [1, 0, 0, 0], TESTS["b"], [1, 0, 1]),
     "selection fold 0: b scores other rows, or has other labels, than a"),
    (lambda run: write_predictions(run, "b", 0, SCORES["b"], LABELS), "b scores other rows"),
    (lambda run: write_predictions(run, "b", 0, [1.2, 0, 0, 0], LABELS, TESTS["b"], [1, 0, 1]), "outside [0, 1]"),
    (lambda run: written(run, labels=[1, 1, 1, 1]), "selection fold 0: its validation rows lack a class"),
    (lambda run: write_json(run / "b/fold0/done.json", {}), None)])
def test_what_cannot_be_combined_is_one_line_and_nothing_is_written(tmp_path, capsys, change, message) -> None:
    change(written(tmp_path))
    assert combine(tmp_path, "selection") == (0 if message is None else 2)
    if message is not None:
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line and not (tmp_path / "selection").exists()


class Played:
    """A study's commands without networks: `verify` and `prepare` leave what they must, evaluations write scores."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.ran: list[str] = []
        self.shift = dict.fromkeys(INPUTS, 1.0)
        self.fails_at = ""

    def __call__(self, runner: Any, command: list[str], works: Any = None, **options: Any) -> int:
        words = dict(pairwise(command))
        if "verify" in command:
            return 0
        folder = Path(words.get("--output_dir", self.run))
        if folder.name == "prepared":
            write_json(folder / "prepared.json", {"digest": "labels"})
        elif "combine" in command:
            at = command.index("combine")
            self.ran.append(f"{command[at + 2]} {words['--fold']}")
            return 143 if self.ran[-1] == self.fails_at else main(command[at:])
        elif folder.name != "train":
            self.ran.append(f"{folder.parent.name} {words['--fold']}")
            if self.ran[-1] == self.fails_at:
                return 1
            write_exams(self.run, folder.parent.name, int(words["--fold"]), self.shift.get(folder.parent.name, 0.5))
        return 0


@pytest.fixture
def played(tmp_path, monkeypatch) -> Played:
    study = Played(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "pipeline.training.guard", SimpleNamespace(environment=dict))  # imports torch
    monkeypatch.setattr("pipeline.study.record._steps", lambda run, stages: ())  # does, too
    monkeypatch.setattr(Runner, "call", lambda self, *words, **more: study(self, *words, **more))
    write_bundle(tmp_path / "bundle")
    write_list(tmp_path / "list.json")
    return study


def study(played: Played, *more: str) -> int:
    folder = played.run.parent
    played.ran.clear()
    return main(["study", str(folder / "bundle"), "--datalist", str(folder / "list.json"), "--out", str(played.run),
                 "--preset", "demo", "--jobs", "1", *more])


ENSEMBLES = ["mean 0", "ensemble 0", "mean 1", "ensemble 1"]


def test_a_study_combines_when_all_chains_are_done_and_again_where_a_prediction_changed(played, capsys) -> None:
    assert study(played, "--print") == 0 and not played.run.exists()
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 1 + 2 * 6 * 2 + 4
    assert lines[-1] == ["python", "-m", "pipeline", "combine", str(played.run), "ensemble", "--fold", "1", "--kind",
                         "selection", "--of", "t2,t1-t0,t2-t0,t3-t0", "--task", "malignant"]
    assert study(played) == 0
    assert played.ran[-4:] == ENSEMBLES and len(played.ran) == 12 + 4
    assert study(played) == 0 and played.ran == []
    record = json.loads((played.run / "study.json").read_text())
    assert list(record["variants"]) == ["t2", "t1-t0", "t2-t0", "t3-t0", "t2-t0_0.1", "t2-t0_0.5", "mean", "ensemble"]
    assert record["variants"]["t2-t0"]["each"] == {"input": "t2-t0", "share": 1.0}
    assert record["tasks"] == ["malignant", "benign"] and "ensemble/fold1/combine" in record["seconds"]
    # Another training of t2 in fold 1: the ensemble takes t2, the mean does not.
    (played.run / "t2/fold1/predictions.csv").unlink()
    played.shift["t2"] = 3.0
    assert study(played) == 0 and played.ran == ["t2 1", "ensemble 1"]
    (played.run / "mean/fold0/weights.json").write_text("{}")
    assert study(played, "--check") == 1
    assert "mean fold 0 combine: weights.json is missing, or not what the step left" in capsys.readouterr().out
    assert study(played) == 0 and played.ran == ["mean 0"]
    assert study(played, "--check") == 0


def test_a_killed_step_is_made_again_and_a_failed_one_named(played, capsys) -> None:
    played.fails_at = "ensemble 0"
    assert study(played) == 2
    assert "ensemble fold 0 combine: no output (exit status 143" in capsys.readouterr().err
    played.fails_at = ""
    assert study(played) == 0 and played.ran == ENSEMBLES[1:]


def test_a_chain_that_fails_stops_only_what_takes_it(played, capsys) -> None:
    played.fails_at = "t2 0"
    assert study(played) == 2
    told = capsys.readouterr()
    assert "t2 fold 0 evaluate" in told.err and "ensemble fold 0: waits for predictions that it takes" in told.out
    assert played.ran[-3:] == ["mean 0", "mean 1", "ensemble 1"]
    played.fails_at = ""
    assert study(played) == 0 and played.ran == ["t2 0", "ensemble 0"]


def test_of_several_tasks_the_last_combines_what_the_others_left(played, capsys) -> None:
    assert study(played, "--shard", "0/2") == 0
    assert not set(ENSEMBLES) & set(played.ran)
    assert "mean fold 0: waits for predictions that it takes" in capsys.readouterr().out
    assert study(played, "--shard", "1/2") == 0 and played.ran[-4:] == ENSEMBLES


def test_members_that_nobody_runs_are_missed_before_anything_is_trained(played, capsys) -> None:
    assert study(played, "--variants", "t2,mean") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: mean: t1-t0 has no predictions in fold 0; run the study with --variants t1-t0")
    assert played.ran == []
    for name in ("t1-t0,t2-t0", "t3-t0,mean"):
        assert study(played, "--variants", name) == 0
    assert played.ran[-2:] == ["mean 0", "mean 1"]
    assert study(played, "--variants", "never") == 2 and "t2-t0_0.5, mean, ensemble" in capsys.readouterr().err


def test_it_is_a_command(tmp_path) -> None:
    import subprocess

    command = [sys.executable, "-m", "pipeline", "combine", str(written(tmp_path)), "mean", "--fold", "0", "--kind",
               "mean", "--of"]
    ended = subprocess.run([*command, "a,b"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "mean fold 0: a 0.5, b 0.5\n")
