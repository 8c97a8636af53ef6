"""Areas over a setting whose values are numbers, such as the share of training exams (doubly deep paper, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.report.figures import DASHES, MARKERS, STYLE, colour, svg
from pipeline.report.predictions import Run


def setting_curves(run: Run, metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each setting's variants in the order of its values, with their mean AUROC and its interval, by task.

    Args:
        run: the study; its `curves` name the settings, and a variant's `each` their values.
        metrics: what is known of the task that leads, with `task` and `tasks` where there are several.

    Returns:
        setting -> `axis` and `points`, each with `value`, `tick`, `variant` and `auroc`, task to `mean`, `sd` and
        `ci95`; settings with fewer than two of their variants are left out.
    """
    tasks = {metrics.get("task") or run.study.get("positive") or "malignant": metrics["variants"],
             **{task: found["variants"] for task, found in metrics.get("tasks", {}).items()}}
    curves = {}
    for setting, about in (run.study.get("curves") or {}).items():
        named = [(entry["each"][setting], name) for name, entry in run.study["variants"].items()
                 if setting in (entry.get("each") or {})]
        points = [{"value": value, "tick": about["ticks"].format(**{setting: value}), "variant": name,
                   "auroc": {task: {key: found[name]["auroc"][key] for key in ("mean", "sd", "ci95")}
                             for task, found in tasks.items()}} for value, name in sorted(named)]
        if len(points) > 1:
            curves[setting] = {"axis": about["axis"], "points": points}
    return curves


def setting_figure(curve: Mapping[str, Any], name: str) -> str:
    """One curve a task, with its 95 % intervals; the axis is logarithmic where all values are above 0.

    Args:
        curve: of `setting_curves`, as `metrics.json` has it.
        name: prefix of the drawing's ids.
    """
    points = curve["points"]
    value = np.array([point["value"] for point in points], float)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 3.3), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
        if (value > 0).all():
            axes.set_xscale("log")
        for i, task in enumerate(points[0]["auroc"]):
            found = [point["auroc"][task] for point in points]
            mean = np.array([area["mean"] for area in found], float)
            low, high = np.array([area["ci95"] for area in found], float).T
            reach = np.nan_to_num(np.clip([mean - low, high - mean], 0, None))
            known = np.isfinite(mean)
            # Two tasks' intervals beside each other, not on each other.
            shifted = value * 1.02 ** i if (value > 0).all() else value
            axes.errorbar(shifted[known], mean[known], yerr=reach[:, known], color=colour(i), linewidth=1.7,
                          linestyle=DASHES[i % 6], marker=MARKERS[i % 6], markersize=4.5, elinewidth=0.9, capsize=2.5,
                          label=task)
        axes.set_xticks(value, [point["tick"] for point in points])
        axes.minorticks_off()
        axes.set(xlabel=curve["axis"], ylabel="AUROC")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, handlelength=2.6)
    said = "; ".join(f"{task} " + ", ".join(f"{_number(point['auroc'][task]['mean'])} at {point['tick']}"
                                            for point in points) for task in points[0]["auroc"])
    return svg(figure, name, f"AUROC over {curve['axis']}, with 95 % intervals: {said}.")


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
