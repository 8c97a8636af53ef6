"""External validation: other cohorts, scored with the networks of the study's folds, beside the study's own figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.metrics import Auroc, Shares, area_interval, calibration_error, interval, reliability, replicates
from pipeline.report.predictions import Run, demand_whole
from pipeline.report.summary import fold_summary
from pipeline.report.tables import item_columns, read_table
from pipeline.study.apply import FOLDER, RECORD, SCHEMA

AGAIN = "run the same `python -m pipeline study RUN --apply LIST` command again"
RATES = ("accuracy", "sensitivity", "specificity")


class Scored(Protocol):
    """A variant's thresholds a fold, by the rule that chose them on the study's validation."""

    thresholds: list[dict[str, float]]


def cohorts(run: Run, scored: Mapping[str, Scored], count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Every cohort that the study has been applied to.

    All networks score the same exams, so a case's score is the mean of the folds' own, and each fold is told as well.
    Thresholds are those that the study's validation chose; of the mean score, the median of the folds'.

    Returns:
        name of the cohort -> `dataset`, `patients_of_the_same_name`, `left_out`, and `variants`: name -> `n`,
        `malignant`, `patients`, `auroc` and rates of the mean score, each with `value` and `ci95`, `threshold`,
        `calibration_error`, `folds` (fold -> `auroc`), `over_folds` (their mean, spread and interval), and `final`
        where the final fold has been applied.

    Raises:
        InputError: a record or predictions that are none.
    """
    found = {}
    for path in sorted((run.folder / FOLDER).glob(f"*/{RECORD}")):
        record = _record(path)
        variants = {name: _variant(run, path.parent, record["folds"][run.homes[name]], name,
                                   {fold: cuts["youden"] for fold, cuts in
                                    zip(run.folds, scored[name].thresholds, strict=True)}, count, seed)
                    for name in run.variants if run.homes[name] in record["folds"]}
        about = {key: record["dataset"].get(key) for key in ("name", "exams", "patients", "synthetic")}
        found[path.parent.name] = {"dataset": about, "left_out": record["left_out"],
                                   "patients_of_the_same_name": record["patients_of_the_same_name"],
                                   "variants": {name: entry for name, entry in variants.items() if entry}}
    return found


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] == SCHEMA and isinstance(record["folds"], dict):
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise InputError(f"{path.parent.name}/{path.name}: no record of an applied study; {AGAIN}")


def _variant(run: Run, place: Path, folds: list[int], name: str, cuts: Mapping[int, float], count: int,
             seed: int) -> dict[str, Any]:
    """One variant's figures; empty where no row of the task has a label."""
    final = run.study.get("final_fold")
    tables = {fold: _table(run, place, fold, name) for fold in folds if fold in run.folds or fold == final}
    first = next(iter(tables.values()))
    items = [*item_columns(first), "patient_id", "label"]
    for fold, table in tables.items():
        if not table[items].equals(first[items]):
            raise InputError(f"{place.name}/{run.homes[name]}: fold {fold} scores other rows than fold "
                             f"{next(iter(tables))}; {AGAIN}")
    if not len(first):
        return {}
    label = first["label"].to_numpy()
    own = [fold for fold in tables if fold != final]
    scores = {fold: table["score"].to_numpy() for fold, table in tables.items()}
    known = [cuts[fold] for fold in own if np.isfinite(cuts[fold])]
    cut = float(np.median(known)) if known else np.nan
    mean = np.mean([scores[fold] for fold in own], axis=0) if own else scores[final]  # type: ignore[index]
    statistics: list[Any] = [Auroc(label, mean), _rates(label, mean, cut), *(Auroc(label, s) for s in scores.values())]
    whole = [statistic(np.ones((1, len(label))))[0] for statistic in statistics]
    draws = replicates(first["patient_id"].to_numpy(), statistics, count, [seed, 10**6 + 1])
    areas = {fold: (float(value), drawn) for fold, value, drawn in zip(tables, whole[2:], draws[2:], strict=True)}
    told = {fold: {"value": area, "ci95": area_interval([area], drawn[None], [label])}
            for fold, (area, drawn) in areas.items()}
    bins = reliability(label, mean, bins=min(max(len(label) // 20, 2), 10))
    entry = {
        "label": run.study["variants"][name].get("label", name), "n": len(label),
        "malignant": int(label.sum()), "patients": first["patient_id"].nunique(),
        "auroc": {"value": float(whole[0]), "ci95": area_interval(whole[:1], draws[:1], [label])},
        **{rate: {"value": float(whole[1][i]), "ci95": interval(draws[1][:, i])} for i, rate in enumerate(RATES)},
        "brier": {"value": float(whole[1][-1]), "ci95": interval(draws[1][:, -1])},
        "calibration_error": calibration_error(bins), "threshold": cut,
        "folds": {fold: told[fold] for fold in own},
    }
    entry |= {"over_folds": None, "final": next((told[fold] for fold in told if fold == final), None)}
    if own:
        values, drawn = [areas[fold][0] for fold in own], np.stack([areas[fold][1] for fold in own])
        entry["over_folds"] = {**fold_summary(values, drawn), "ci95": area_interval(values, drawn, [label])}
    return entry


def _table(run: Run, place: Path, fold: int, name: str) -> pd.DataFrame:
    """The rows that a fold's network scored, of the run's task."""
    home = place / run.homes[name] / f"fold{fold}"
    if not (home / "predictions.csv").is_file():
        raise InputError(f"{place.name}/{home.parent.name}/{home.name}: no predictions; {AGAIN}")
    demand_whole(run.folder, home)
    table = read_table(home / "predictions.csv", fold, name)
    if "task" in table:
        table = table[table["task"] == run.task].drop(columns="task")
    return table[table["split"] == "test"].reset_index(drop=True)


def _rates(label: NDArray[Any], score: NDArray[Any], cut: float) -> Shares:
    """Accuracy, sensitivity and specificity at a threshold, then Brier's score."""
    correct, known = (score >= cut) == (label == 1), np.full(len(label), not np.isnan(cut))
    return Shares(np.stack([*[correct] * 3, (score - label) ** 2], axis=1),
                  np.stack([known, known & (label == 1), known & (label == 0), np.ones(len(label), bool)], axis=1))
