"""One `predictions.csv`, read and checked row by row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.files.tables import read_results
from pipeline.prediction_rows import COLUMNS, ITEM, UNKNOWN

AGAIN = "run the same `python -m pipeline study ...` command again"
SPLIT_AGAIN = f"write the folds again with `python -m data_lists`, then {AGAIN}"


def read_table(path: Path, fold: int, variant: str) -> pd.DataFrame:
    """One `predictions.csv`, checked: label and fold int, score and readers float, everything else text.

    Of a file with a column `variant`, the rows of that one.
    """
    table = read_results(path, COLUMNS, AGAIN, dtype=str)  # a group may be called NA
    if "variant" in table:
        table = table[table["variant"] == variant].drop(columns="variant").reset_index(drop=True)

    def refuse(rows: Iterable[bool], what: str) -> None:
        rows = np.asarray(rows, dtype=bool)
        if rows.any():
            exam = table["exam_id"][int(np.argmax(rows))]
            others = f" and {int(rows.sum()) - 1} more" if rows.sum() > 1 else ""
            remedy = "" if what.endswith(AGAIN) else f"; {AGAIN}"
            raise InputError(f"{path}: exam {exam}{others}: {what}{remedy}")

    if "task" in table:
        table = table[~table["label"].isin(UNKNOWN)].reset_index(drop=True)
    for name in ("exam_id", "patient_id"):
        refuse(table[name].fillna("").str.strip() == "", f"{name} is empty")
    refuse(~table["split"].isin(["validation", "test"]), "split is neither validation nor test")
    refuse(~table["label"].isin(["0", "1", "0.0", "1.0"]), "label is neither 0 nor 1")
    refuse(pd.to_numeric(table["fold"], errors="coerce") != fold, f"fold is not {fold}")
    score = pd.to_numeric(table["score"], errors="coerce")
    refuse(score.isna(), "score is not a number")
    refuse((score < 0) | (score > 1), "score is outside [0, 1]")
    table = table.assign(fold=fold, label=table["label"].astype(float).astype(int), score=score)
    for name in (c for c in table.columns if c.startswith(("reader_", "reading_"))):
        given = pd.to_numeric(table[name], errors="coerce")
        refuse(given.isna() & (table[name].str.strip() != ""), f"{name} is not a number")
        refuse(np.isinf(given), f"{name} is infinite")
        table[name] = given
    if not (table["split"] == "test").any():
        raise InputError(f"{path}: no row of the test split; {AGAIN}")
    item = item_columns(table)
    refuse(table.duplicated(["split", *item]), "is listed twice")
    validating = set(table["patient_id"][table["split"] == "validation"])
    refuse((table["split"] == "test") & table["patient_id"].isin(validating),
           f"its patient is in validation and in test; {SPLIT_AGAIN}")
    return table.sort_values(["split", *item], kind="stable").reset_index(drop=True)


def item_columns(table: pd.DataFrame) -> list[str]:
    """The columns that together tell one scored item from another."""
    return [name for name in ITEM if name in table.columns]


def read_tasks(study: dict[str, Any], paths: dict[str, dict[int, Path]]) -> list[str]:
    """The study's `tasks`, else those of the first table in their order; empty where no table has such a column.

    Raises:
        InputError: some tables have the column and others have not, or a row is of no task of the study.
    """
    columns = {path: read_results(path, (), AGAIN, dtype=str, usecols=lambda name: name == "task")
               for folds in paths.values() for path in folds.values()}
    without = [path for path, table in columns.items() if "task" not in table]
    if len(without) == len(columns):
        return []
    if without:
        raise InputError(f"{without[0]}: column task is missing, which other predictions have; {AGAIN}")
    first = next(iter(columns.values()))
    tasks = study.get("tasks") or list(dict.fromkeys(first["task"]))
    for path, table in columns.items():
        if strange := set(table["task"]) - set(tasks):
            raise InputError(f"{path}: task {min(strange)!r} is none of {', '.join(tasks)}; {AGAIN}")
    return list(tasks)
