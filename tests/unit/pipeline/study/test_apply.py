"""A study applied to another cohort: what is run with which settings, when it is run again, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from doubly_deep_study import write_predictions

from pipeline.__main__ import main
from pipeline.datalist import APART, Datalist, Exam, load, save
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest, sealed
from pipeline.folds import assign_folds
from pipeline.prepare import cases
from pipeline.study.engines.local import Runner
from pipeline.study.step import Step

THEN = "/machine/of/then/run"  # where the study was when it ran
CASES = [{"exam_id": f"E{i}", "patient_id": f"P{i}", "splits": [("test", "train")[i % 2], ("train", "test")[i % 2]]}
         for i in range(4)]


def record(run: Path, place: str, name: str, text: str) -> Path:
    """A step's folder with the config that it ran with."""
    folder = run / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"output_dir: {THEN}/{place}\n{text}")
    return folder


def write_study(run: Path, contrasts: tuple[str, ...] = ("pre", "post1")) -> Path:
    """Two variants in two folds, one of which finds something in the images first; and the mean of both."""
    record(run, "prepared", "config.yaml", "datalist: old.json\nrun: [$prepare.run(@datalist)]\n")
    cases.save(run / "prepared", {"schema": cases.SCHEMA, "name": "own", "modality": "MR", "parameters": {},
                                  "folds": {"count": 3}, "breasts": CASES}, "old.json")
    for case in CASES:
        own = run / "images" / case["exam_id"]
        own.mkdir(parents=True)
        for name in contrasts:
            (own / name).write_text(f"{case['exam_id']} {name} of the study")
        write_json(run / "prepared" / "records" / f"{case['exam_id']}.json", {"sources": {
            name: {"bytes": (own / name).stat().st_size, "sha256": digest(own / name)} for name in contrasts}})
    for fold in (0, 1):
        for variant, extra in (("plain", ""), ("finds", f"found: {THEN}/finds/fold{fold}/find/found.json\n")):
            place = f"{variant}/fold{fold}"
            record(run, f"{place}/train", "config.yaml", "run: [$@train#trainer.run()]\n")
            record(run, f"{place}/find", "config.find.yaml", f"model: {THEN}/{place}/train/model.pt\nrun: [$look()]\n")
            folder = record(run, place, "config.evaluate.yaml", f"fold: {fold}\nmodel: {THEN}/{place}/train/model.pt\n"
                            f"dataset_dir: {THEN}/prepared\n{extra}run: [$@validate#evaluator.run()]\n")
            write_predictions(run, variant, fold, [0.5, 0.5], [0, 1], [0.5], [1])
            Step("evaluate", folder, []).finish("inputs", 1.0)
        write_json(run / "mean" / f"fold{fold}" / "weights.json",
                   {"kind": "mean", "fold": fold, "weights": {"plain": 0.25, "finds": 0.75}})
        Step("combine", run / "mean" / f"fold{fold}", []).finish("inputs", 1.0)
    write_json(run / "study.json", {"schema": "breast-bundles/study/1", "bundle": "b", "folds": [0, 1],
                                    "variants": {name: {} for name in ("plain", "finds", "mean")}})
    return run


def write_cohort(folder: Path, name: str = "other", contrasts: tuple[str, ...] = ("pre", "post1"),
                 modality: str = "MR", text: str = "elsewhere") -> Path:
    """Four exams of other people under the study's names."""
    exams = []
    for i in range(4):
        exams.append(Exam(f"E{i}", f"P{i}", {c: f"{name}/E{i}/{c}" for c in contrasts}, {"L": {"malignant": i % 2}}))
        for contrast, path in exams[-1].images.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(f"E{i} {contrast} {text}")
    listed = Datalist(name, modality, folder, exams)
    listed.folds = assign_folds(exams, 2, 0)
    save(listed, folder / f"{name}.json")
    return folder / f"{name}.json"


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


def test_every_fold_tests_every_exam_and_says_whose_folds_these_are(tmp_path, played) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    assert apply(run, cohort) == 0
    listed = load(run / "applied/other/cohort.json")
    assert [listed.splits(exam) for exam in listed.exams] == [["test"] * 3] * 4
    own = cases.load(run / "prepared")
    assert listed.folds[APART] == cases.assignment(own, "breasts")
    assert cases.assignment({"folds": listed.folds, "breasts": []}, "breasts") == cases.assignment(own, "breasts")
    assert listed.path(listed.exams[0], "pre") == tmp_path / "other/E0/pre"


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


def training_list(folder: Path) -> Path:
    """The study's own exam among others."""
    cohort = write_cohort(folder, "twin")
    (folder / "twin/E2/post1").write_text("E3 post1 of the study")
    return cohort


@pytest.mark.parametrize(("cohort", "message"), [
    (lambda f: write_cohort(f, contrasts=("pre",)), "exam E0: has no post1, which b was trained with"),
    (lambda f: write_cohort(f, modality="MG"), "other: its images are MG, b takes MR"),
    (training_list, "exam E2: has an image of the study's own exam E3; a cohort is external without"),
    (lambda f: write_cohort(f, "a b"), "rename it"),
    (lambda f: f / "none.json", "none.json: no such datalist"),
])
def test_cohorts_that_are_none_are_refused_before_anything_is_run(tmp_path, played, capsys, cohort, message) -> None:
    run = write_study(tmp_path / "run")
    assert apply(run, cohort(tmp_path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and played.ran == [] and not (run / "applied").exists()


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
