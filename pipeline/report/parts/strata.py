"""The same breasts as read by radiologists, and parts of the breasts: density, scanner, site, age."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pipeline.metrics import Auroc, auroc, interval, p_value, replicates, sensitivity_at, wilson
from pipeline.report.predictions import Run
from pipeline.report.summary import fold_summary

MOST_VALUES = 12  # a group with more values than that is no grouping (or is a date, and identifies)
BLANK = "not recorded"


def readers(run: Run, count: int, seed: int) -> dict[str, Any]:
    """Each reader against every variant, on the test breasts that the reader scored.

    A reader is the same in every fold, so the reader's own AUROC pools the folds; the difference to a variant
    is a mean over folds, as the variant's AUROC is. A reader's operating point is known where scores are 1 to
    5 (4 and 5 are positive) or 0 and 1. The variant's sensitivity at the reader's specificity is read off its
    test ROC curves, mean over folds.

    Returns:
        reader -> `n`, `malignant`, `auroc`, `positive_from`, `sensitivity`, `specificity`, `variants`.
    """
    found = {name: _reader(run, f"reader_{name}", count, seed) for name in run.columns("reader_")}
    return {name: entry for name, entry in found.items() if entry["n"]}


def _reader(run: Run, column: str, count: int, seed: int) -> dict[str, Any]:
    folds = []  # a fold each: {variant: test rows that the reader scored}
    for fold in run.folds:
        first = run.part(run.variants[0], fold, "test")
        if column in first:
            scored = first[column].notna().to_numpy()
            folds.append({v: run.part(v, fold, "test")[scored].assign(reader=first[column][scored])
                          for v in run.variants})
    pooled = pd.concat([fold[run.variants[0]] for fold in folds])
    label, given = pooled["label"].to_numpy(), pooled["reader"].to_numpy()
    entry: dict[str, Any] = {"n": len(label), "malignant": int(label.sum())}
    entry["auroc"] = _area(pooled, count, seed)
    entry |= operating_point(label, given)
    specificity = entry["specificity"]["value"] if entry["specificity"] else None
    areas: dict[str, list[float]] = {v: [] for v in ("", *run.variants)}  # "" is the reader
    draws: dict[str, list[Any]] = {v: [] for v in areas}
    matched: dict[str, list[float]] = {v: [] for v in run.variants}
    for number, rows in enumerate(folds):
        table = rows[run.variants[0]]
        if table["label"].nunique() < 2:
            continue
        scores = {"": table["reader"], **{v: rows[v]["score"] for v in run.variants}}
        statistics = [Auroc(table["label"], score) for score in scores.values()]
        drawn = replicates(table["patient_id"], statistics, count, [seed, number])
        for v, found in zip(scores, drawn, strict=True):
            areas[v].append(auroc(table["label"], scores[v]))
            draws[v].append(found)
        if specificity is None:
            continue
        for v in run.variants:
            matched[v].append(sensitivity_at(table["label"], scores[v], specificity))
    entry["variants"] = {v: _against(areas, draws, v, matched[v]) for v in run.variants if areas[""]}
    return entry


def _against(areas: dict[str, list[float]], draws: dict[str, list[Any]], variant: str,
             matched: list[float]) -> dict[str, Any]:
    gain = np.subtract(draws[variant], draws[""]).mean(axis=0)
    return {"auroc": float(np.mean(areas[variant])),
            "difference": float(np.mean(areas[variant]) - np.mean(areas[""])),
            "ci95": interval(gain), "p": p_value(gain),
            "sensitivity_at_specificity": float(np.mean(matched)) if matched else None}


def _area(table: pd.DataFrame, count: int, seed: int) -> dict[str, Any]:
    if table["label"].nunique() < 2:
        return {"value": None, "ci95": [None, None]}
    draws = replicates(table["patient_id"], [Auroc(table["label"], table["reader"])], count, seed)[0]
    return {"value": auroc(table["label"], table["reader"]), "ci95": interval(draws)}


def operating_point(label: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    """Sensitivity and specificity of a reader, with Wilson's intervals; None where no cut-off is known.

    Args:
        label: 0 or 1, shape (n,).
        given: the reader's scores, shape (n,).
    """
    entry: dict[str, Any] = {"positive_from": None, "sensitivity": None, "specificity": None}
    if np.isin(given, (0, 1)).all():
        entry["positive_from"] = 1
    elif np.isin(given, (1, 2, 3, 4, 5)).all():
        entry["positive_from"] = 4
    else:
        return entry
    called = given >= entry["positive_from"]
    for name, of in (("sensitivity", 1), ("specificity", 0)):
        right, total = int((called[label == of] == bool(of)).sum()), int((label == of).sum())
        if total:
            entry[name] = {"value": right / total, "ci95": wilson(right, total)}
    return entry


def subgroups(run: Run, count: int, seed: int) -> dict[str, Any]:
    """AUROC of every variant in each value of each group, mean over the folds in which it is defined.

    Numbers with many values are cut into quartiles; other groups with more than 12 values are left out.

    Returns:
        group -> value -> `n`, `malignant`, `auroc` (variant -> summary).
    """
    table: dict[str, Any] = {}
    for group in run.columns("group_"):
        column = f"group_{group}"
        parts = {f: run.part(run.variants[0], f, "test") for f in run.folds}
        everyone = pd.concat([part[column] if column in part else pd.Series("", part.index)
                              for part in parts.values()], keys=list(parts))
        values = _values(everyone)
        if values is not None:
            table[group] = {value: _subgroup(run, values, value, count, seed)
                            for value in sorted(values.unique(), key=_order)}
    return table


def _values(column: pd.Series) -> pd.Series | None:
    """The groups' names a row, or None where there are too many."""
    column = column.str.strip().replace("", BLANK)
    known = column[column != BLANK]
    if known.nunique() <= MOST_VALUES:
        return column
    numbers = pd.to_numeric(known, errors="coerce")
    if numbers.isna().any():
        return None
    edges = numbers.quantile([0.25, 0.5, 0.75]).unique()
    names = [f"below {edges[0]:g}", *(f"{a:g} to below {b:g}" for a, b in pairwise(edges)),
             f"{edges[-1]:g} and above"]
    places = np.searchsorted(edges, numbers, side="right")
    return column.mask(column != BLANK, pd.Series([names[i] for i in places], known.index))


def _order(value: str) -> tuple[int, float, str]:
    """Blanks last, numbers by value, `below` first."""
    words = [word for word in value.split() if word.replace(".", "", 1).isdigit()]
    number = float(words[0]) - 1e-9 * value.startswith("below") if words else 0.0
    return int(value == BLANK), number, value


def _subgroup(run: Run, values: pd.Series, value: str, count: int, seed: int) -> dict[str, Any]:
    areas: dict[str, list[float]] = {v: [] for v in run.variants}
    draws: dict[str, list[Any]] = {v: [] for v in run.variants}
    total = malignant = 0
    for fold in run.folds:
        inside = (values.loc[fold] == value).to_numpy()
        tables = {v: run.part(v, fold, "test")[inside] for v in run.variants}
        label = tables[run.variants[0]]["label"]
        total, malignant = total + len(label), malignant + int(label.sum())
        if label.nunique() < 2:
            continue
        statistics = [Auroc(label, t["score"]) for t in tables.values()]
        patient = tables[run.variants[0]]["patient_id"]
        for v, found in zip(tables, replicates(patient, statistics, count, [seed, fold]), strict=True):
            areas[v].append(auroc(label, tables[v]["score"]))
            draws[v].append(found)
    summaries = {v: fold_summary(areas[v], np.stack(draws[v])) if areas[v] else None for v in run.variants}
    return {"n": total, "malignant": malignant, "auroc": summaries}
