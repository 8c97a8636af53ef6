"""A study applied to another cohort: what is run with which settings, when it is run again, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from applied_study import record, write_cohort, write_study
from doubly_deep_study import write_predictions

from pipeline.__main__ import main
from pipeline.files.atomic import write_json
from pipeline.files.receipts import sealed
from pipeline.study.engines.local import Runner
from pipeline.study.step import Step


class Played:
    """The commands, without networks: each is noted, and leaves what it must."""

    def __init__(self) -> None:
        self.ran: list[dict[str, str]] = []
        self.digest = "labels"
        self.fails = False

    def __call__(self, runner: Any, command: list[str], works: Any = None, **options: Any) -> int:
        words = dict(pairwise(command))
        self.ran.append(words)
        if "verify" in command:
            write_json(Path(words["--json"]), {"errors": 0})
        elif "combine" in command:
            return main(command[command.index("combine"):])
        elif Path(words["--output_dir"]).name == "prepared":
            write_json(Path(words["--output_dir"]) / "prepared.json", sealed({"of": self.digest}))
        elif Path(words["--output_dir"]).name == "find":
            write_json(Path(words["--output_dir"]) / "found.json", {})
        elif self.fails:
            return 1
        else:
            fold = Path(words["--output_dir"])
            score = 0.25 if fold.parent.name == "plain" else 0.75
            write_predictions(fold.parents[1], fold.parent.name, int(fold.name[-1]), [], [], [score] * 4, [0, 1, 0, 1])
        return 0

    def names(self) -> list[str]:
        """What was run since the last look: its output folder's last parts."""
        found = ["/".join(Path(w.get("--output_dir", "combined")).parts[-3:]) for w in self.ran
                 if "--json" not in w]
        self.ran.clear()
        return found


@pytest.fixture
def played(monkeypatch) -> Played:
    play = Played()
    monkeypatch.setattr(Runner, "call", lambda self, *words, **more: play(self, *words, **more))
    return play


def apply(run: Path, cohort: Path) -> int:
    return main(["study", str(run), "--apply", str(cohort), "--jobs", "1"])


def test_what_the_study_recorded_is_run_on_the_other_exams(tmp_path, played, capsys) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    assert apply(run, cohort) == 0
    place = run / "applied" / "other"
    _, prepare, *rest = played.ran
    assert prepare["--config_file"] == str(run / "prepared" / "config.yaml")
    assert prepare["--datalist"] == str(place / "cohort.json") and prepare["--output_dir"] == str(place / "prepared")
    by_folder = {words["--output_dir"]: words for words in rest if "--output_dir" in words}
    assert len(by_folder) == 6  # both evaluations and what one of them finds, in two folds; nothing is trained
    found = by_folder[str(place / "finds/fold1")]
    assert found["--config_file"] == str(run / "finds/fold1/config.evaluate.yaml")
    assert found["--dataset_dir"] == str(place / "prepared")
    assert found["--train#dataset#data"] == "@validate#dataset#data" and "--train#dataset#data" not in prepare
    assert found["--model"] == str(run / "finds/fold1/train/model.pt")  # where the study is now
    assert found["--found"] == str(place / "finds/fold1/find/found.json")  # of these exams
    assert by_folder[str(place / "finds/fold1/find")]["--model"] == str(run / "finds/fold1/train/model.pt")
    assert "--found" not in by_folder[str(place / "plain/fold0")]
    rows = (place / "mean/fold1/predictions.csv").read_text().splitlines()
    assert rows[1].endswith(",test,0,0.625")  # 0.25 × 0.25 + 0.75 × 0.75
    told = json.loads((place / "applied.json").read_text())
    assert told["folds"] == {name: [0, 1] for name in ("plain", "finds", "mean")}
    assert told["patients_of_the_same_name"] == 4 and told["dataset"]["exams"] == 4
    assert "next: python -m pipeline report" in capsys.readouterr().out


def test_only_what_rests_on_a_change_is_done_again(tmp_path, played) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    assert apply(run, cohort) == 0
    assert len(played.names()) == 1 + 6 + 2
    assert apply(run, cohort) == 0 and played.names() == []
    (run / "applied/other/plain/fold0/predictions.csv").unlink()
    assert apply(run, cohort) == 0 and played.names() == ["other/plain/fold0"]
    write_predictions(run, "plain", 1, [0.5, 0.5], [0, 1], [0.75], [1])  # trained again
    Step("evaluate", run / "plain/fold1", []).finish("other inputs", 1.0)
    assert apply(run, cohort) == 0 and played.names() == ["other/plain/fold1"]
    played.digest = "other labels"
    write_cohort(tmp_path, text="changed")
    assert apply(run, cohort) == 0 and len(played.names()) == 1 + 6 + 2


def test_an_interrupted_one_goes_on(tmp_path, played, capsys) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    played.fails = True
    assert apply(run, cohort) == 2
    assert "other plain fold 0 evaluate" in capsys.readouterr().err and not list(run.glob("applied/*/applied.json"))
    played.names()
    played.fails = False
    assert apply(run, cohort) == 0
    assert played.names()[0] == "other/plain/fold0" and len(list(run.glob("applied/*/applied.json"))) == 1


def test_what_is_not_trained_yet_is_not_applied_and_a_training_evaluation_is_named(tmp_path, played, capsys) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    (run / "plain/fold1/done.json").unlink()
    (run / "mean/fold1/done.json").unlink()
    record(run, "finds/fold0", "config.evaluate.yaml", "run: [$@train#trainer.run(), $write()]\n")
    record(run, "finds/fold1", "config.evaluate.yaml", "run: [$@train#trainer.run(), $write()]\n")
    (run / "mean/fold0/done.json").unlink()
    assert apply(run, cohort) == 0
    assert played.names() == ["applied/other/prepared", "other/plain/fold0"]
    assert "left out: finds is trained while it is evaluated" in capsys.readouterr().out
    told = json.loads((run / "applied/other/applied.json").read_text())
    assert told["folds"] == {"plain": [0]} and set(told["left_out"]) == {"finds"}


def test_studies_that_are_none_or_untrained_are_refused(tmp_path, played, capsys) -> None:
    cohort = write_cohort(tmp_path)
    assert apply(tmp_path, cohort) == 2
    assert "no study (study.json); with --apply, name the --out" in capsys.readouterr().err
    run = write_study(tmp_path / "run")
    for done in run.rglob("done.json"):
        done.unlink()
    assert apply(run, cohort) == 2
    assert "no fold of this study has been trained and evaluated" in capsys.readouterr().err
    assert main(["study", str(run), "--apply", str(cohort), "--out", "x"]) == 2
    assert "without --datalist and --out" in capsys.readouterr().err
    assert main(["study", "bundles/breast_mri_curriculum", "--out", "x"]) == 2
    assert "--datalist is missing" in capsys.readouterr().err
    assert played.ran == []


@pytest.mark.parametrize(("cohort", "message"), [
    (lambda f: write_cohort(f, contrasts=("pre",)), "exam E0: has no post1"),
    (lambda f: write_cohort(f, "a b"), "rename it"),
    (lambda f: f / "none.json", "none.json: no such datalist"),
])
def test_cohorts_that_are_none_are_refused_before_anything_is_run(tmp_path, played, capsys, cohort, message) -> None:
    run = write_study(tmp_path / "run")
    assert apply(run, cohort(tmp_path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and played.ran == [] and not (run / "applied").exists()
