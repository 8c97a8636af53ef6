"""The report's Table 1: two questions, models and readers, on few examinations whose areas can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.report.parts.readers import NO_CUT, readers
from pipeline.report.parts.screening import screening
from pipeline.report.predictions import Run

DETECTION = ["screen", "screen", "interval", "negative", "negative", "negative"]
SCORES = {"first": [0.9, 0.4, 0.8, 0.5, 0.2, 0.1], "second": [0.9, 0.8, 0.1, 0.5, 0.2, 0.3]}
READERS = {"a": [5, 2, 1, 4, 1, 2], "all": [9, 8, 2, 5, 2, 3]}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    study = {"title": "t", "folds": [0], "comparisons": [], "runs": {},
             "variants": {"first": {"label": "First", "paper": {"auroc": [0.94], "all_cancers": 0.89}}, "second": {}},
             "readers": {"positive_from": 4},
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
    assert rows["first"]["paper"] == [0.94, 0.89] and rows["reader_a"]["paper"] == [0.93, 0.836]
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


def test_only_the_lowest_score_of_both_is_negative(run) -> None:
    """§1: from 2. Reader a then calls 5, 2, 4 and 2: both cancers, two of four others."""
    run.study["readers"] = {"positive_from": 2}
    (found,) = screening(run, 200, 0)["matched"]
    assert (found["positive_from"], found["specificity"]["value"], found["sensitivity"]["mean"]) == (2, 0.5, 1)
    assert {name: entry["mean"] for name, entry in found["variants"].items()} == {"first": 1.0, "second": 1.0}


def test_readers_with_probabilities_are_matched_at_a_named_threshold_or_it_is_said_why_not(run) -> None:
    for tables in run.tables.values():
        tables[0]["reader_a"] = tables[0]["reader_a"] / 10 - 0.03
    found = screening(run, 200, 0)
    assert found["matched"] == []
    assert [(row["reader"], row["why_not"]) for row in found["not_matched"]] == [("a", NO_CUT)]
    run.study["readers"] = {"threshold": 0.3}
    (found,) = screening(run, 200, 0)["matched"]
    assert (found["positive_from"], found["specificity"]["value"], found["sensitivity"]["mean"]) == (0.3, 0.75, 0.5)


def test_interval_cancers_count_by_the_share_of_the_rest_that_was_drawn(run) -> None:
    """All are kept for the second question; in the first they would be far too many among the rest."""
    detection = ["screen"] * 4 + ["interval"] * 10 + ["negative"] * 90
    table = pd.DataFrame({
        "exam_id": [f"E{i}" for i in range(104)], "patient_id": [f"P{i}" for i in range(104)], "side": "", "fold": 0,
        "split": "test", "label": [1] * 4 + [0] * 100, "score": [0.5] * 4 + [0.9] * 10 + [0.1] * 90,
        "group_detection": detection})
    run.tables.update(first={0: table}, second={0: table})
    areas = []
    for run.study["screening"]["rest"] in (None, 30):
        found = screening(run, 50, 0)
        (first, _) = found["rows"]
        assert first["all"]["mean"] == pytest.approx(1)
        areas.append(first["screening"]["mean"])
    assert areas == pytest.approx([0.9, 0.9])  # unweighted, the second were 30 / 40
    assert (found["n"], found["counts"]["interval"], found["interval_weight"]) == (44, 10, pytest.approx(1 / 3))


def test_pairs_of_readers_add_up_a_breast(run) -> None:
    """a + b: sums 7, 2, 3, 5, 4, 3 of the worse breast; c has not read the last."""
    given = {"L_a": [5, 1, 1, 4, 1, 2], "R_a": [1, 2, 1, 1, 1, 1], "L_b": [2, 1, 2, 1, 3, 1], "R_b": [1] * 6,
             "L_c": [1, 1, 1, 1, 1, None], "R_c": [1, 1, 1, 1, 1, None]}
    for tables in run.tables.values():
        table = tables[0].drop(columns=["reader_a", "reader_all"])
        for name in "abc":
            both = np.array([given[f"L_{name}"], given[f"R_{name}"]], float)
            table[f"reader_{name}"] = both.max(axis=0)
        for name, values in given.items():
            table[f"reading_{name}"] = np.array(values, float)
        tables[0] = table
    found = screening(run, 50, 0)
    pairs = {"+".join(row["readers"]): row for row in found["pairs"]}
    # Sums: 7, 3 of the two cancers; of the others 3, 5, 4, 3: 4 won, 2 ties of 8. All cancers: 7, 3, 3 against 5, 4, 3.
    assert list(pairs) == ["a+b", "a+c", "b+c"] and [row["n"] for row in pairs.values()] == [6, 5, 5]
    assert pairs["a+b"]["screening"]["mean"] == pytest.approx((4 + 1) / 8)
    assert pairs["a+b"]["all"]["mean"] == pytest.approx((3 + 2 * 0.5) / 9)
    row = found["rows"][-1]
    mean = np.mean([pair["screening"]["mean"] for pair in pairs.values()])
    assert row["screening"]["mean"] == pytest.approx(mean) and row["label"].endswith("mean of 3 pairs")
    assert row["paper"] == [0.987, 0.886] and len(found["rows"]) == 6


def test_other_studies_have_no_such_section(run) -> None:
    del run.study["screening"]
    assert screening(run, 50, 0) == {}


def test_two_tables_of_one_report_agree_on_sensitivity_at_a_readers_specificity(run) -> None:
    """Folds in which the reader calls differently often, so that a specificity of all folds is none of theirs."""
    random = np.random.default_rng(911)
    for fold in (0, 1, 2):
        label = random.permutation(np.repeat([0, 1], [20, 8]))
        called = random.random(28) < 0.15 + 0.25 * fold
        same = {"exam_id": [f"E{fold}{i}" for i in range(28)], "patient_id": [f"P{fold}{i // 2}" for i in range(28)],
                "side": "", "fold": fold, "split": "test", "label": label,
                "reader_a": np.where(called | (label == 1), 4.0, 1.0)}
        for tables in run.tables.values():
            tables[fold] = pd.DataFrame({**same, "score": (label + random.normal(size=28) + 4) / 10})
    run.study["folds"] = [0, 1, 2]
    (there,) = screening(run, 100, 0)["matched"]
    here = readers(run, 100, 0)["a"]["variants"]
    for variant in ("first", "second"):
        assert here[variant]["sensitivity_at_specificity"] == there["variants"][variant]["mean"]


@pytest.mark.parametrize(("more", "paper"), [((), [None, None]), (("b",), [0.987, 0.886]), (("b", "c"), [None, None])])
def test_the_paper_s_two_readers_stand_beside_the_sum_of_two_alone(run, more, paper) -> None:
    for folds in run.tables.values():
        folds[0] = folds[0].assign(**{f"reader_{name}": 3 for name in more})
    rows = {row["name"]: row for row in screening(run, 100, 0)["rows"]}
    assert rows["reader_all"]["paper"] == paper
