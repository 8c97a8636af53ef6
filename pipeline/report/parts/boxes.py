"""Detectors beside the other methods: how well their boxes find lesions, and what each method asks of the annotator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files.tables import read_results
from pipeline.metrics import AveragePrecision, Froc, replicates
from pipeline.metrics.froc import FALSE, FOUND, NEITHER, RATES
from pipeline.report.predictions import AGAIN, Run
from pipeline.report.summary import fold_summary

CLASSES = ("malignant", "benign")
MARKS = {"labels": "breasts labelled", "centres": "lesions’ centres", "masks": "lesions outlined"}
_OUTCOMES = {"found": FOUND, "again": NEITHER, "false": FALSE}
_KEYS = ["exam_id", "side"]


def boxes(run: Run, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Average precision of each class, and FROC of malignant lesions, of every variant that wrote boxes.

    Test breasts of each fold; the mean over folds, with intervals that draw whole patients.

    Raises:
        InputError: a table that is none.
    """
    found = {}
    for name in run.variants:
        folds = [fold for fold in run.folds if (run.place(name, fold) / "detections.csv").is_file()]
        if folds:
            found[name] = _of(run, name, folds, count, seed)
    return found


def _of(run: Run, name: str, folds: list[int], count: int, seed: int) -> dict[str, Any]:
    values: dict[str, list[Any]] = {key: [] for key in (*CLASSES, "froc")}
    draws: dict[str, list[Any]] = {key: [] for key in values}
    lesions, per_breast = dict.fromkeys(CLASSES, 0), 0
    for fold in folds:
        test = run.part(name, fold, "test")
        place = run.place(name, fold)
        detected = _table(place / "detections.csv", [*_KEYS, "split", "class", "score", "outcome"])
        outlined = _table(place / "outlines.csv", [*_KEYS, "split", "class"])
        statistics: list[Any] = []
        for label in CLASSES:
            own, true = (table[table["class"] == label] for table in (detected, outlined))
            breasts = list(zip(test["exam_id"], test["side"], strict=True))
            count_of = Counter(zip(true["exam_id"], true["side"], strict=True))
            number = np.array([count_of[breast] for breast in breasts])
            parts = dict(list(own.groupby(_KEYS)))
            rows = [parts.get(breast, own[:0]) for breast in breasts]
            scores = [row["score"].to_numpy(float) for row in rows]
            results = [row["outcome"].map(_OUTCOMES).to_numpy(int) for row in rows]
            statistics.append(AveragePrecision(scores, results, number))
            lesions[label] += int(number.sum())
            if label == "malignant":
                froc = Froc(scores, results, number)
                per_breast += len(own)
        statistics.append(froc)
        whole = np.ones((1, len(test)))
        drawn = replicates(test["patient_id"].to_numpy(), statistics, count, [seed, fold])
        for key, statistic, draw in zip(values, statistics, drawn, strict=True):
            values[key].append(statistic(whole)[0])
            draws[key].append(draw)
    rates = np.stack(draws["froc"]), np.stack(values["froc"])  # (folds, count, rates + mean), (folds, rates + mean)
    froc_rows = [fold_summary(rates[1][:, k], rates[0][:, :, k]) for k in range(len(RATES) + 1)]
    tested = sum(len(run.part(name, fold, "test")) for fold in folds)
    return {"lesions": lesions, "boxes_a_breast": per_breast / max(tested, 1),
            "precision": {label: fold_summary(values[label], np.stack(draws[label])) for label in CLASSES},
            "froc": {"sensitivity": [{"false_positives": rate, **row} for rate, row in
                                     zip(RATES, froc_rows[:-1], strict=True)], "mean": froc_rows[-1]}}


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    table = read_results(path, columns, AGAIN, dtype=dict.fromkeys((*_KEYS, "split", "class"), str))
    return table[table["split"] == "test"]


def asked_of_the_annotator(study: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a variant: the kinds of marks that its training takes, with their number in the list; empty without."""
    numbers = (study.get("dataset") or {}).get("marks") or {}
    return [{"variant": name, **{kind: numbers.get(kind) if kind in entry["marks"] else None for kind in MARKS}}
            for name, entry in study["variants"].items() if entry.get("marks")] if numbers else []
