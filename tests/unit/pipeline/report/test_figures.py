"""Charts: the numbers that they draw, read back from their SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from pipeline.report.figures import MOST, calibration_figure, colour, drawn, ranking_figure, roc_figure


def variant(label: str, auroc: float | None) -> dict[str, Any]:
    low = None if auroc is None else auroc - 0.1
    return {"label": label, "auroc": {"mean": auroc, "ci95": [low, auroc and auroc + 0.1]}, "calibration_error": 0.125,
            "roc": {"false_positive_rate": [0, 0.5, 1], "mean": [None] * 3 if auroc is None else [0, 0.75, 1],
                    "sd": [0, 0.1, 0]},
            "calibration": [{"score": 0.2, "share": 0.25, "low": 0.1, "high": 0.5, "n": 8, "malignant": 2}]}


METRICS = {"variants": {"a": variant("Main & <best>", 0.8), "b": variant("Base", 0.6), "c": variant("None", None)},
           "folds": [0, 1],
           "readers": {"one": {"sensitivity": {"value": 0.9}, "specificity": {"value": 0.7}},
                       "two": {"sensitivity": None, "specificity": None}}}


def parsed(text: str) -> ElementTree.Element:
    """The drawing, as HTML reads it: without namespaces."""
    return ElementTree.fromstring(text.replace("xlink:href", "href"))


def words(text: str) -> list[str]:
    return [part.strip() for part in parsed(text).itertext() if part.strip()]


@pytest.mark.parametrize("draw", [
    lambda: roc_figure(METRICS), lambda: calibration_figure(METRICS),
    lambda: ranking_figure(METRICS, {"a": {"paper": {"auroc": [0.89]}}, "b": {}, "c": {}})])
def test_the_same_numbers_give_the_same_described_drawing(draw) -> None:
    text = draw()
    assert text == draw()
    root = parsed(text)
    assert root.tag == "svg" and "Main & <best> 0." in root.attrib["aria-label"]


def test_roc_names_what_can_be_drawn() -> None:
    said = words(roc_figure(METRICS))
    assert "Main & <best> (0.800)" in said and "Base (0.600)" in said and "Reader: one" in said
    assert not any("None" in word or "two" in word for word in said)


def test_ranking_leaves_out_what_is_undefined() -> None:
    drawn = ranking_figure(METRICS, {"a": {"paper": {"auroc": [0.89]}}, "b": {}, "c": {}})
    assert {"Main & <best>", "Base"} < set(words(drawn)) and "None" not in words(drawn)
    assert "Main &amp; &lt;best> 0.800, Base 0.600." in drawn


def test_a_study_of_many_shows_six_curves() -> None:
    many = {**METRICS, "variants": {str(i): variant(f"V{i}", 0.5 + i / 100) for i in range(9)}, "readers": {}}
    assert sum(word.startswith("V") for word in words(roc_figure(many))) == 6
    assert sum(word.startswith("V") for word in words(calibration_figure(many))) == 6


def test_no_two_variants_that_are_drawn_share_a_colour() -> None:
    shades = [colour(i) for i in range(MOST)]
    assert len({*shades, colour(None)}) == MOST + 1


def test_of_many_the_compared_are_drawn_and_points_of_a_curve_give_way() -> None:
    """The doubly deep study's table: inputs, a curve's points on one of them, and two ensembles at its end."""
    names = ["t2-t0", "t2", "t1-t0", "t3-t0", "t2-t0_0.1", "t2-t0_0.3", "mean", "selection"]
    study = {"variants": dict.fromkeys(names), "comparisons": [{"first": "mean", "second": "t2-t0"}],
             "curves": {"share": {"points": [{"variant": name} for name in ("t2-t0_0.1", "t2-t0_0.3", "t2-t0")]}}}
    assert drawn(study) == ["t2-t0", "t2", "t1-t0", "t3-t0", "mean", "selection"]
    seven = {"variants": dict.fromkeys("abcdefgh"), "comparisons": [{"first": "a", "second": "h"}]}
    assert drawn(seven) == ["a", "b", "c", "d", "e", "h"]
