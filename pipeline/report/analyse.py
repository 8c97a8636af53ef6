"""From predictions to the numbers of `metrics.json`.

A paper's figure is the mean over folds ± their standard deviation. Beside it stands the 95 % interval of that
mean: patients of each fold's test set are drawn with replacement, models and thresholds stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.metrics import (
    Auroc,
    area_interval,
    calibration_error,
    delong_test,
    delong_variance,
    holm,
    interval,
    p_value,
    reliability,
    replicates,
    roc_band,
    roc_curve,
    wilson,
    z_test,
)
from pipeline.report.parts.boxes import boxes
from pipeline.report.parts.cohorts import cohorts
from pipeline.report.parts.curves import learning_curves
from pipeline.report.parts.points import points
from pipeline.report.parts.readers import readers
from pipeline.report.parts.screening import screening
from pipeline.report.parts.selection import selection
from pipeline.report.parts.settings import setting_curves
from pipeline.report.parts.strata import subgroups
from pipeline.report.predictions import BEST, Run, load_localisation
from pipeline.report.scored import RATES, RULES, TARGETS, Scored, ranking, rate_columns, score_all
from pipeline.report.summary import fold_summary, plain
from pipeline.report.tasks import by_task

SCHEMA = "breast-bundles/metrics/1"


def analyse(run: Run, count: int = 2000, seed: int = 0) -> dict[str, Any]:
    """All numbers of the report.

    Of several tasks the one that leads stands where that of a study with one task does; `task` is its name, and
    `tasks` has the same numbers of each of the others.

    Args:
        run: the study's predictions.
        count: bootstrap replicates.
        seed: seed of the draws.

    Returns:
        Plain values, ready for JSON; what is undefined is None.
    """
    lead, *others = by_task(run)
    first = _results(lead, count, seed)
    localisation = first.pop("localisation")
    found = {
        "schema": SCHEMA,
        "title": run.study["title"],
        "folds": lead.folds,
        "bootstrap": {"replicates": count, "seed": seed, "level": 0.95},
        **first,
        "points": points(lead, count, seed),
        "screening": screening(lead, count, seed),
        "learning": learning_curves(lead),
        "localisation": localisation,
    }
    if lead.task:
        found["task"] = lead.task
        found["tasks"] = {other.task: {"folds": other.folds, **_results(other, count, seed)} for other in others}
        found["notes"] = [*_untested(run, [lead, *others]), *found["notes"]]
    found["notes"] = [*run.notes, *found["notes"]]
    if detected := boxes(lead, count, seed):
        found["boxes"] = detected
    if curves := setting_curves(lead, found):
        found["curves"] = curves
    return plain(found)


def _results(run: Run, count: int, seed: int) -> dict[str, Any]:
    """What is made of each task: tables, intervals and tests."""
    scored = score_all(run, count, seed)
    order = ranking(run, scored) if run.study["comparisons"] == BEST else run.variants
    variants = {name: _variant(run, name, scored[name]) for name in order}
    return {
        "notes": _notes(run),
        "variants": variants,
        "best_of": _best(run, variants),
        "selection": selection(run, scored),
        "comparisons": _comparisons(run, scored),
        "readers": readers(run, count, seed),
        "subgroups": subgroups(run, count, seed),
        "final": _final(run, count, seed),
        "cohorts": cohorts(run, scored, count, seed),
        "localisation": {name: found for name in run.variants if (found := _localisation(run, name))},
    }


def _untested(run: Run, of_tasks: list[Run]) -> list[str]:
    """Folds that test no row of a task."""
    tested = {of.task: of.folds for of in of_tasks}
    return [f"{task}: no test row has a label in fold {fold}; it is left out there." for task in run.tasks
            for fold in run.folds if fold not in tested.get(task, [])]


def _best(run: Run, variants: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Of each group of alternatives (learning rates of one baseline), the one with the highest mean AUROC."""
    best: dict[str, str] = {}
    area = {name: entry["auroc"]["mean"] for name, entry in variants.items()}
    for name in run.variants:
        group = run.study["variants"][name].get("best_of")
        if group and np.isfinite(area[name]) and (group not in best or area[name] > area[best[group]]):
            best[group] = name
    return best


def _variant(run: Run, name: str, scored: Scored) -> dict[str, Any]:
    tests = [run.part(name, fold, "test") for fold in run.folds]
    pooled = pd.concat(tests)
    label, score = pooled["label"].to_numpy(), pooled["score"].to_numpy()
    grid, mean, sd = roc_band([roc_curve(t["label"], t["score"]) for t in tests])
    bins = reliability(label, score, bins=min(max(len(label) // 20, 2), 10))
    entry = run.study["variants"][name]
    at_half = {f"{rate}_at_0.5": scored.rate("0.5", rate) for rate in RATES}
    return {
        "label": entry.get("label", name),
        "parameters": entry.get("parameters"),
        "n": len(label),
        "malignant": int(label.sum()),
        "patients": pooled["patient_id"].nunique(),
        "auroc": fold_summary(scored.auroc, np.stack(scored.auroc_draws), [t["label"] for t in tests]),
        "auroc_delong_se": [np.sqrt(delong_variance(t["label"], t["score"])[1]) for t in tests],
        **{rate: scored.rate("youden", rate) for rate in RATES},
        **at_half,
        "threshold": [cuts["youden"] for cuts in scored.thresholds],
        "operating_points": [
            {"rule": kind, "target": target, "threshold": [cuts[rule] for cuts in scored.thresholds],
             **{rate: scored.rate(rule, rate) for rate in RATES}}
            for (kind, target), rule in zip(TARGETS, RULES[2:], strict=True)
        ],
        "brier": scored.brier(),
        "calibration_error": calibration_error(bins),
        "calibration": bins,
        "roc": {"false_positive_rate": grid, "mean": mean, "sd": sd},
    }


def _final(run: Run, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """AUROC and accuracy at 0.5 on exams that were set aside, by the network trained on all others; with intervals."""
    found: dict[str, dict[str, Any]] = {}
    for name, table in run.final.items():
        label, score = table["label"].to_numpy(), table["score"].to_numpy()
        statistics: list[Any] = [Auroc(label, score), rate_columns(label, score, [0.5])]
        whole = [statistic(np.ones((1, len(label))))[0] for statistic in statistics]
        draws = replicates(table["patient_id"].to_numpy(), statistics, count, [seed, 10**6])
        entry = {"n": len(label), "malignant": int(label.sum()), "patients": table["patient_id"].nunique(),
                 "auroc": {"value": float(whole[0]), "ci95": area_interval(whole[:1], draws[:1], [label])}}
        for i, rate in enumerate(RATES):
            entry[rate] = {"value": float(whole[1][i]), "ci95": interval(draws[1][:, i])}
        found[name] = entry
    return found


def _comparisons(run: Run, scored: dict[str, Scored]) -> list[dict[str, Any]]:
    rows = []
    pairs = run.study["comparisons"]
    if pairs == BEST:
        pairs = [ranking(run, scored)[:2]] if len(run.variants) > 1 else []
    for first, second in pairs:
        gains = np.subtract(scored[first].auroc, scored[second].auroc)
        defined = np.isfinite(gains)
        if not defined.any():
            continue
        draws = np.subtract(scored[first].auroc_draws, scored[second].auroc_draws)[defined].mean(axis=0)
        variances = []
        for fold in np.asarray(run.folds)[defined]:
            a, b = run.part(first, fold, "test"), run.part(second, fold, "test")
            variances.append(delong_test(a["label"], a["score"], b["score"])[1])
        difference = float(gains[defined].mean())
        rows.append({"first": first, "second": second, "difference": difference, "per_fold": gains,
                     "ci95": interval(draws), "p": p_value(draws),
                     # test sets of the folds are disjoint: the variance of a mean of k is Σ / k²
                     "p_delong": z_test(difference, sum(variances) / len(variances) ** 2)})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _localisation(run: Run, variant: str) -> dict[str, Any] | None:
    table = load_localisation(run, variant)
    if table is None or table.empty:
        return None
    hits, total = int(table["hit"].sum()), len(table)
    found: dict[str, Any] = {"hits": hits, "n": total, "share": hits / total, "ci95": wilson(hits, total)}
    for name in ("distance_mm", "radius_mm"):
        values = pd.to_numeric(table[name], errors="coerce") if name in table else None
        found[f"median_{name}"] = None if values is None else values.median()
    chance = pd.to_numeric(table["chance"], errors="coerce") if "chance" in table else None
    found["chance"] = None if chance is None else chance.mean()
    return found


def _notes(run: Run) -> list[str]:
    """What a reader must know of folds in which something cannot be computed."""
    notes = []
    for fold in run.folds:
        for split, consequence in (("test", "AUROC is undefined there and the fold is left out of its mean"),
                                   ("validation", "no threshold can be chosen there")):
            present = run.part(run.variants[0], fold, split)["label"].unique()
            if len(present) < 2:
                only = {(): "no rows", (0,): "nothing malignant", (1,): "only malignant"}[tuple(present)]
                notes.append(f"Fold {fold}: {only} in {split}; {consequence}.")
    return notes
