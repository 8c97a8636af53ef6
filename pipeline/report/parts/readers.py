"""The same breasts, or examinations, as read by radiologists: their areas, calls, and models at their specificity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.mammography.screening import ALL_READERS
from pipeline.metrics import Auroc, Matched, area_interval, auroc, interval, p_value, replicates, wilson
from pipeline.report.predictions import Run
from pipeline.report.summary import fold_summary

CUTS = {"positive_from": 4, "threshold": None}  # of scores 1 to 5; of any others
NO_CUT = "scores are not 1 to 5, and no threshold is named (--reader-threshold)"
NO_SUM = "a sum over readers has no cut-off of its own"


def cuts(run: Run) -> dict[str, Any]:
    """From which score readers count as positive: the study's `readers`, else `CUTS`."""
    return CUTS | (run.study.get("readers") or {})


def reader_tables(run: Run, name: str) -> dict[int, pd.DataFrame]:
    """By fold the test rows that a reader scored, with each variant's score as `score_VARIANT`; no empty ones."""
    tables = {}
    for fold in run.folds:
        table = run.part(run.variants[0], fold, "test")
        if f"reader_{name}" not in table:
            continue
        for variant in run.variants:
            table[f"score_{variant}"] = run.part(variant, fold, "test")["score"]
        table = table[table[f"reader_{name}"].notna()].reset_index(drop=True)
        if len(table):
            tables[fold] = table
    return tables


def readers(run: Run, count: int, seed: int) -> dict[str, Any]:
    """Each reader against every variant, on the test rows that the reader scored.

    A reader is the same in every fold, so the reader's own AUROC pools the folds; the difference to a variant
    is a mean over folds, as the variant's AUROC is.

    Returns:
        reader -> `n`, `malignant`, `auroc`, what `operating_point` says, `variants`.
    """
    return {name: _reader(run, name, tables, count, seed) for name in run.columns("reader_")
            if (tables := reader_tables(run, name))}


def _reader(run: Run, name: str, tables: Mapping[int, pd.DataFrame], count: int, seed: int) -> dict[str, Any]:
    column = f"reader_{name}"
    pooled = pd.concat(tables.values())
    label, given = pooled["label"].to_numpy(), pooled[column].to_numpy()
    point = operating_point(name, label, given, cuts(run))
    areas: dict[str, list[float]] = {v: [] for v in ("", *run.variants)}  # "" is the reader
    draws: dict[str, list[Any]] = {v: [] for v in areas}
    for fold, table in tables.items():
        if table["label"].nunique() < 2:
            continue
        scores = {"": table[column], **{v: table[f"score_{v}"] for v in run.variants}}
        statistics = [Auroc(table["label"], score) for score in scores.values()]
        drawn = replicates(table["patient_id"], statistics, count, [seed, fold])
        for v, found in zip(scores, drawn, strict=True):
            areas[v].append(auroc(table["label"], scores[v]))
            draws[v].append(found)
    there = matched(run, name, tables, point["positive_from"], count, seed)
    return {"n": len(label), "malignant": int(label.sum()), "auroc": _area(pooled, column, count, seed), **point,
            "variants": {v: _against(areas, draws, v, there) for v in run.variants if areas[""]}}


def _against(areas: Mapping[str, list[float]], draws: Mapping[str, list[Any]], variant: str,
             there: Mapping[str, Any]) -> dict[str, Any]:
    gain = np.subtract(draws[variant], draws[""]).mean(axis=0)
    return {"auroc": float(np.mean(areas[variant])),
            "difference": float(np.mean(areas[variant]) - np.mean(areas[""])),
            "ci95": interval(gain), "p": p_value(gain),
            "sensitivity_at_specificity": there[variant]["mean"] if there else None}


def _area(table: pd.DataFrame, column: str, count: int, seed: int) -> dict[str, Any]:
    if table["label"].nunique() < 2:
        return {"value": None, "ci95": [None, None]}
    area = auroc(table["label"], table[column])
    draws = replicates(table["patient_id"], [Auroc(table["label"], table[column])], count, seed)
    return {"value": area, "ci95": area_interval([area], draws, [table["label"]])}


def operating_point(name: str, label: np.ndarray, given: np.ndarray, known: Mapping[str, Any]) -> dict[str, Any]:
    """Sensitivity and specificity of a reader, with Wilson's intervals; None where no cut-off is known.

    Args:
        name: the reader's.
        label: 0 or 1, shape (n,).
        given: the reader's scores, shape (n,).
        known: of `cuts`.

    Returns:
        `positive_from`, `scale`, `sensitivity`, `specificity`, and `why_not` where there is no cut-off.
    """
    entry: dict[str, Any] = {"positive_from": None, "scale": "other", "sensitivity": None, "specificity": None,
                             "why_not": None}
    if name == ALL_READERS:
        return {**entry, "why_not": NO_SUM}
    if np.isin(given, (0, 1)).all():
        entry |= {"positive_from": 1, "scale": "0 or 1"}
    elif np.isin(given, (1, 2, 3, 4, 5)).all():
        entry |= {"positive_from": known["positive_from"], "scale": "1 to 5"}
    elif known["threshold"] is not None:
        entry["positive_from"] = known["threshold"]
    else:
        return {**entry, "why_not": NO_CUT}
    called = given >= entry["positive_from"]
    for rate, of in (("sensitivity", 1), ("specificity", 0)):
        right, total = int((called[label == of] == bool(of)).sum()), int((label == of).sum())
        if total:
            entry[rate] = {"value": right / total, "ci95": wilson(right, total)}
    return entry


def matched(run: Run, name: str, tables: Mapping[int, pd.DataFrame], cut: float | None, count: int,
            seed: int) -> dict[str, Any]:
    """Sensitivities at a reader's specificity, the one definition of all tables: of each fold, then their mean.

    Args:
        run: the study.
        name: the reader's.
        tables: of `reader_tables`.
        cut: from which score the reader counts as positive; None: there is nothing to match.
        count, seed: of the bootstrap.

    Returns:
        summaries over folds, of the reader (under "") and of each variant.
    """
    if cut is None:
        return {}
    found = []
    for fold, table in tables.items():
        called = (table[f"reader_{name}"] >= cut).to_numpy()
        statistics = [Matched(table["label"], table[f"score_{v}"], called) for v in run.variants]
        whole = [statistic(np.ones((1, len(table))))[0] for statistic in statistics]
        found.append((whole, replicates(table["patient_id"], statistics, count, [seed, fold])))
    of = {v: [fold_summary([whole[i][k] for whole, _ in found], np.stack([drawn[i][:, k] for _, drawn in found]))
              for k in (0, 1)] for i, v in enumerate(run.variants)}
    return {"": of[run.variants[0]][1], **{v: both[0] for v, both in of.items()}}
