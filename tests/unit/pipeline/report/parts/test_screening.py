"""The report's Table 1: two questions, models and readers, on few examinations whose areas can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.report.parts.screening import screening
from pipeline.report.predictions import Run

DETECTION = ["screen", "screen", "interval", "negative", "negative", "negative"]
SCORES = {"first": [0.9, 0.4, 0.8, 0.5, 0.2, 0.1], "second": [0.9, 0.8, 0.1, 0.5, 0.2, 0.3]}
READERS = {"a": [5, 2, 1, 4, 1, 2], "all": [9, 8, 2, 5, 2, 3]}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    study = {"title": "t", "folds": [0], "comparisons": [], "runs": {},
             "variants": {"first": {"label": "First", "paper": {"auroc": [0.94], "all_cancers": 0.89}}, "second": {}},
             "screening": {"rest": None, "one_reader": [0.93, 0.836], "two_readers": [0.987, 0.886]}}
    tables = {name: {0: pd.DataFrame({
        "exam_id": [f"E{i}" for i in range(6)], "patient_id": [f"P{i}" for i in range(6)], "side": "", "fold": 0,
        "split": "test", "label": [int(d == "screen") for d in DETECTION], "score": scores,
        "group_detection": DETECTION, **{f"reader_{r}": given for r, given in READERS.items()}})}
        for name, scores in SCORES.items()}
    (tmp_path / "first" / "fold0").mkdir(parents=True)
    (tmp_path / "first" / "fold0" / "regions.csv").write_text(
        "exam_id,patient_id,hit,chance\nE0,P0,1,0.5\nE0,P0,1,0.3\nE1,P1,0,0.2\nE1,P1,1,0.2\n")
    return Run(tmp_path, study, tables, {"first": "first", "second": "second"}, {})


def test_areas_of_models_and_readers(run) -> None:
    found = screening(run, 200, 0)
    rows = {row["name"]: row for row in found["rows"]}
    # Screening: 2 × 4 pairs. First: 0.9 beats all four, 0.4 beats two. All cancers: 3 × 3 pairs; 0.4 beats two.
    assert rows["first"]["screening"]["mean"] == pytest.approx(6 / 8)
    assert rows["first"]["all"]["mean"] == pytest.approx(8 / 9)
    assert rows["second"]["screening"]["mean"] == 1 and rows["second"]["all"]["mean"] == pytest.approx(6 / 9)
    # Reader a: 5 beats four; 2 beats two ones and ties with one two. With the interval cancer's 1: ties with one.
    assert rows["reader_a"]["screening"]["mean"] == pytest.approx(6.5 / 8)
    assert rows["reader_a"]["all"]["mean"] == pytest.approx((3 + 1.5 + 0.5) / 9)
    assert rows["first"]["paper"] == [0.94, 0.89] and rows["reader_all"]["paper"] == [0.987, 0.886]
    gains = {(c["variant"], c["reader"], c["task"]): c["difference"] for c in found["comparisons"]}
    assert gains["first", "a", "screening"] == pytest.approx(-0.5 / 8) and len(gains) == 8
    assert found["counts"] == {"screen": 2, "interval": 1} and found["n"] == found["of"] == 6


def test_sensitivity_at_the_readers_specificity(run) -> None:
    (found,) = screening(run, 200, 0)["matched"]  # of the sum, no cut-off is known
    # Reader a calls 5 and 4: sensitivity 1/2, specificity 3/4, so that a model may have one false positive.
    assert found["reader"] == "a" and found["specificity"]["value"] == 0.75
    assert found["sensitivity"]["mean"] == 0.5
    assert {name: entry["mean"] for name, entry in found["variants"].items()} == {"first": 0.5, "second": 1.0}


def test_regions_against_chance(run) -> None:
    found = screening(run, 200, 0)["regions"]
    assert (found["n"], found["patients"]) == (4, 2)
    assert found["hit"]["value"] == 0.75 and found["chance"]["value"] == pytest.approx(0.3)
    assert found["difference"]["ci95"] == pytest.approx((0.3, 0.6))  # one patient or the other


def test_each_reader_is_judged_on_what_she_read(run) -> None:
    for tables in run.tables.values():
        tables[0]["reader_b"] = [None, 3, None, 1, None, None]  # one cancer, one without
        tables[0]["reader_all"] = tables[0]["reader_a"] + tables[0]["reader_b"]
        tables[0].loc[0, "group_detection"] = ""  # the list does not say how: the label does
    found = screening(run, 200, 0)
    rows = {row["name"]: row for row in found["rows"]}
    assert [rows[name]["n"] for name in ("first", "reader_a", "reader_b", "reader_all")] == [6, 6, 2, 2]
    assert rows["first"]["screening"]["mean"] == pytest.approx(6 / 8) and found["counts"]["screen"] == 2
    assert rows["reader_b"]["screening"]["mean"] == 1
    gains = {(c["variant"], c["reader"]): c["difference"] for c in found["comparisons"] if c["task"] == "screening"}
    assert gains["first", "b"] == -1  # on the same two: 0.4 below 0.5
    assert gains["second", "b"] == 0


def test_the_rest_is_drawn_down_and_cancers_stay(run) -> None:
    run.study["screening"]["rest"] = 2
    found = screening(run, 50, 0)
    assert found["n"] == 5 and found["counts"] == {"screen": 2, "interval": 1}


def test_other_studies_have_no_such_section(run) -> None:
    del run.study["screening"]
    assert screening(run, 50, 0) == {}
