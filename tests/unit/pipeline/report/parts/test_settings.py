"""Areas over a setting: which variants, in which order, and what the drawing says."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

from pipeline.report.parts.settings import setting_curves, setting_figure
from pipeline.report.predictions import load_run
from pipeline.report.tasks import by_task


def test_points_are_the_variants_areas_in_the_order_of_their_values(two_tasks: Path) -> None:
    metrics = json.loads((two_tasks / "metrics.json").read_text())
    assert list(metrics["curves"]) == ["share"]  # inputs are no numbers
    curve = metrics["curves"]["share"]
    assert curve["axis"] == "Share of the training exams"
    assert [(point["value"], point["tick"], point["variant"]) for point in curve["points"]] == [
        (0.1, "10%", "t2-t0_0.1"), (0.5, "50%", "t2-t0_0.5"), (1.0, "100%", "t2-t0")]
    for point in curve["points"]:
        for task, found in (("malignant", metrics), ("benign", metrics["tasks"]["benign"])):
            area = found["variants"][point["variant"]]["auroc"]
            assert point["auroc"][task] == {key: area[key] for key in ("mean", "sd", "ci95")}


def test_a_study_of_one_task_has_one_curve_and_one_point_is_none(two_tasks: Path) -> None:
    run = by_task(load_run(two_tasks))[0]
    metrics = {"variants": json.loads((two_tasks / "metrics.json").read_text())["variants"]}
    assert list(setting_curves(run, metrics)["share"]["points"][0]["auroc"]) == ["malignant"]
    run.study["variants"] = {name: run.study["variants"][name] for name in ("t1", "t2-t0_0.1")}
    assert setting_curves(run, metrics) == {}


def points(*values: float) -> dict:
    areas = [{"mean": 0.6 + 0.1 * i, "sd": None, "ci95": [0.5, 0.9]} for i in range(len(values))]
    areas[-1] = {"mean": None, "sd": None, "ci95": [None, None]}
    return {"axis": "Rate", "points": [{"value": value, "tick": f"{value:g}", "variant": "v",
                                        "auroc": {"malignant": area, "benign": area}}
                                       for value, area in zip(values, areas, strict=True)]}


def test_the_drawing_says_what_it_shows_and_is_logarithmic_where_it_can_be() -> None:
    drawn = setting_figure(points(0.01, 0.1, 1.0), "over-0")
    assert "malignant 0.600 at 0.01, 0.700 at 0.1, undefined at 1; benign" in drawn
    assert 'id="over-0-' in drawn and setting_figure(points(0.01, 0.1, 1.0), "over-0") == drawn

    def gaps(text: str) -> list[float]:
        ticks = [float(x) for x in re.findall(r'id="over-0-xtick_\d".*?x="([\d.]+)"', text, re.S)]
        return [b - a for a, b in pairwise(ticks)]

    first, second = gaps(drawn)
    assert abs(first - second) < 1e-3  # decades are equally far
    first, second = gaps(setting_figure(points(0, 0.1, 1.0), "over-0"))
    assert abs(second / first - 9) < 1e-3
