"""A study of several tasks as a study of each: what reads one knows nothing of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.report.predictions import AGAIN, Run


def by_task(run: Run) -> list[Run]:
    """The same study of each task alone, as if it were the only one: first the one that leads.

    Folds that test no row of a task are left out of it, and so are tasks that no fold tests. A study without tasks is
    the only one.

    Raises:
        InputError: no fold tests the task that leads.
    """
    if not run.tasks:
        return [run]
    found = [alone for task in run.tasks if (alone := _of(run, task)).folds]
    if not found or not found[0].leads:
        raise InputError(f"{run.folder}: no test row has a label of {run.tasks[0]}; {AGAIN}")
    return found


def _of(run: Run, task: str) -> Run:
    leads = task == run.tasks[0]
    tables = {v: {f: _rows(table, task) for f, table in folds.items()} for v, folds in run.tables.items()}
    tested = [fold for fold in run.folds if (tables[run.variants[0]][fold]["split"] == "test").any()]
    variants = {name: {**entry, **{key: _figures(entry[key], run, task) for key in ("paper", "paper_test")
                                   if key in entry}} for name, entry in run.study["variants"].items()}
    rows = [{**{key: row[key] for key in ("label", "parameters") if key in row}, **_figures(row, run, task)}
            for row in run.study.get("paper_rows") or []]
    study = {**run.study, "folds": tested, "variants": variants, "paper_rows": rows,
             "positive": run.study.get("positive", task) if leads else task}
    return replace(run, study=study, tables={v: {f: folds[f] for f in tested} for v, folds in tables.items()},
                   final={v: _rows(table, task) for v, table in run.final.items()}, tasks=[], task=task, leads=leads)


def _rows(table: pd.DataFrame, task: str) -> pd.DataFrame:
    return table[table["task"] == task].drop(columns="task").reset_index(drop=True)


def _figures(entry: dict[str, Any], run: Run, task: str) -> dict[str, Any]:
    """The paper's figures of a task; those without a task's name are of the one that leads."""
    unnamed = {key: value for key, value in entry.items() if key not in run.tasks}
    return {**(unnamed if task == run.tasks[0] else {}), **entry.get(task, {})}
