"""Learning curves: every validation of every stage and fold, at the steps that were taken by then."""

from __future__ import annotations

import json

import pytest
from written_study import write_run

from pipeline.__main__ import main
from pipeline.report.figures import colour
from pipeline.report.parts.curves import learning_curves, learning_figure
from pipeline.report.predictions import load_run


@pytest.fixture
def run(tmp_path):
    """A study whose first variant was trained in two stages of 20 and 30 steps, and its second in one."""
    folder = write_run(tmp_path / "run")
    study = json.loads((folder / "study.json").read_text())
    study["variants"]["main"]["steps"] = {"patches": 20, "breasts": 30}
    study["variants"]["base_a"]["steps"] = {"breasts": 50}
    (folder / "study.json").write_text(json.dumps(study))
    for fold, gain in ((0, 0.0), (1, 0.1)):
        for variant, stage, rows in (("main", "patches", "1,20,{:.2f}\n"), ("main", "breasts", "1,15,\n2,30,{:.2f}\n"),
                                     ("base_a", "breasts", "1,50,{:.2f}\n")):
            path = folder / variant / f"fold{fold}" / stage / "history.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("epoch,step,val_auroc\n" + rows.format(0.6 + gain))
    return folder


def test_steps_of_earlier_stages_count_and_folds_are_summed_up(run) -> None:
    found = learning_curves(load_run(run))
    points = [(p["stage"], p["step"], round(p["mean"], 6), p["low"], p["high"], p["folds"]) for p in found["main"]]
    assert points == [("patches", 20, 0.65, 0.6, 0.7, 2), ("breasts", 50, 0.65, 0.6, 0.7, 2)]
    assert [p["step"] for p in found["base_a"]] == [50] and "base_b" not in found


def test_the_page_shows_them(run) -> None:
    assert main(["report", str(run), "--replicates", "100"]) == 0
    page = (run / "report.html").read_text()
    assert "Main 0.650 after 50 steps, Base a 0.650 after 50 steps" in page and 'href="#learning"' in page
    assert json.loads((run / "metrics.json").read_text())["learning"]["base_a"][0]["step"] == 50


def test_a_study_without_histories_has_none(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    assert learning_curves(load_run(folder)) == {}


def test_a_training_has_the_colour_of_its_variant(run) -> None:
    drawn = learning_figure(learning_curves(load_run(run)), {"base_a": "Base a"}, {"base_a": 3})
    assert "Base a" in drawn and "Main" not in drawn
    assert colour(3).lower() in drawn.lower() and colour(0).lower() not in drawn.lower()
