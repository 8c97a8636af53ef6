"""How training went: validation AUROC over optimiser steps, every variant and stage beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipeline.files.tables import read_results
from pipeline.report.figures import DASHES, STYLE, colour, svg
from pipeline.report.predictions import AGAIN, Run

COLUMN = "val_auroc"


def learning_curves(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Validation AUROC of each training after so many optimiser steps, over folds.

    A budget is not chosen here: every validation is shown. Steps of the stages before count, so that variants with as
    many steps stand above each other.

    Returns:
        the variant that was trained to its points, each with `stage`, `step` (those of the stages before included),
        `mean`, `low` and `high` over folds, and `folds`, their number; empty where nothing was validated so.
    """
    found = {}
    for name, entry in run.study["runs"].items():
        stages, rows = list(entry.get("steps") or {}), []
        for fold in run.tested if run.final and not run.folds else run.folds:
            before = 0
            for stage in stages:
                history = _history(run.folder / name / f"fold{fold}" / stage / "history.csv")
                if history is not None:
                    rows += [(stage, before + int(step), value)
                             for step, value in zip(history["step"], history[COLUMN], strict=True) if value == value]
                before += int(entry["steps"][stage])
        points = pd.DataFrame(rows, columns=["stage", "step", COLUMN])
        if len(points):
            table = points.groupby(["stage", "step"], sort=False)[COLUMN].agg(["mean", "min", "max", "count"])
            found[name] = [
                {"stage": str(stage), "step": int(step), "mean": float(mean), "low": float(low), "high": float(high),
                 "folds": int(folds)}
                for stage, step, mean, low, high, folds in table.reset_index().itertuples(index=False)]
    return found


def _history(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    table = read_results(path, ("epoch",), AGAIN, keep_default_na=True)
    return table if {"step", COLUMN} <= set(table) else None


def learning_figure(curves: dict[str, list[dict[str, Any]]], labels: dict[str, str], places: dict[str, int]) -> str:
    """The curves as a chart, a band from the least to the greatest fold; earlier stages thin; empty without any.

    Args:
        curves: what `learning_curves` returned.
        labels: by training.
        places: of the trainings that are drawn, the place of their colour and dash.
    """
    curves = {name: points for name, points in curves.items() if name in places}
    if not curves:
        return ""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 3.3), layout="constrained")
        axes = figure.add_subplot()
        axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=(0, (2, 3)))
        for name, points in curves.items():
            i = places[name]
            stages = list(dict.fromkeys(point["stage"] for point in points))
            for stage in stages:
                own = [point for point in points if point["stage"] == stage]
                step, mean, low, high = (np.array([point[key] for point in own], float)
                                         for key in ("step", "mean", "low", "high"))
                last = stage == stages[-1]
                axes.fill_between(step, low, high, color=colour(i), alpha=0.16 if last else 0.07, linewidth=0)
                axes.plot(step, mean, color=colour(i), linewidth=1.7 if last else 0.9, linestyle=DASHES[i % 6],
                          marker="o", markersize=3 if last else 2, label=labels.get(name, name) if last else None)
        axes.set(xlabel="Optimiser steps, all stages", ylabel="Validation AUROC")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, handlelength=2.6)
    ends = ", ".join(f"{labels.get(name, name)} {points[-1]['mean']:.3f} after {points[-1]['step']} steps"
                     for name, points in curves.items())
    return svg(figure, "learning", f"Validation AUROC over optimiser steps, mean over folds: {ends}.")
