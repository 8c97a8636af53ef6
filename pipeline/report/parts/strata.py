"""Parts of the breasts: density, scanner, site, age."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pipeline.metrics import Auroc, auroc, replicates
from pipeline.report.predictions import Run
from pipeline.report.summary import fold_summary

MOST_VALUES = 12  # a group with more values than that is no grouping (or is a date, and identifies)
BLANK = "not recorded"


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
    labels: list[pd.Series] = []
    total = malignant = 0
    for fold in run.folds:
        inside = (values.loc[fold] == value).to_numpy()
        tables = {v: run.part(v, fold, "test")[inside] for v in run.variants}
        label = tables[run.variants[0]]["label"]
        total, malignant = total + len(label), malignant + int(label.sum())
        if label.nunique() < 2:
            continue
        labels.append(label)
        statistics = [Auroc(label, t["score"]) for t in tables.values()]
        patient = tables[run.variants[0]]["patient_id"]
        for v, found in zip(tables, replicates(patient, statistics, count, [seed, fold]), strict=True):
            areas[v].append(auroc(label, tables[v]["score"]))
            draws[v].append(found)
    summaries = {v: fold_summary(areas[v], np.stack(draws[v]), labels) if areas[v] else None for v in run.variants}
    return {"n": total, "malignant": malignant, "auroc": summaries}
