"""What a screening study adds to the report: Table 1 with readers, and whether regions hold the lesions.

Its two questions are no two tasks of `predictions.csv`. One score answers both, and who is positive follows from
`group_detection`: rows of two tasks would say each score twice. In the first question interval cancers are among the
rest, and where that is drawn down they count by a weight, which tables of tasks do not know; readers, their pairs and
the models on what they read stand in the same table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.datalist import INTERVAL, SCREEN
from pipeline.files.tables import read_results
from pipeline.mammography.screening import ALL_READERS
from pipeline.metrics import Auroc, Shares, Weighted, holm, interval, p_value, replicates
from pipeline.metrics.roc import Array
from pipeline.report.parts.readers import cuts, matched, operating_point, reader_tables
from pipeline.report.predictions import AGAIN, Run
from pipeline.report.summary import fold_summary

TASKS = ("screening", "all")  # positive: a cancer that the examination found; or also one of the interval after it
DETECTION = "group_detection"


class Areas(NamedTuple):
    """Areas by fold `(folds,)`, their replicates `(folds, count)`, and the labels of each fold."""

    folds: Array
    drawn: Array
    labels: list[NDArray[np.int64]]

    def summary(self) -> dict[str, Any]:
        """Their mean, spread and interval."""
        return fold_summary(self.folds, self.drawn, self.labels)


def screening(run: Run, count: int, seed: int) -> dict[str, Any]:
    """Table 1 (§5) with pairs of readers, tests of models against readers, sensitivity at their specificity, regions.

    Models are scored on all test examinations, readers on those that they read. Examinations without cancer are drawn
    down to the study's `rest`. Interval cancers stay, since the second question is about them; in the first, where they
    are among the rest, they count by the share that was drawn.

    Returns:
        `n`, `of`, `rows` (models, then readers), `pairs`, `comparisons`, `matched`, `not_matched`, `regions`; empty in
        other studies.
    """
    about = run.study.get("screening")
    if about is None:
        return {}
    names = run.columns("reader_")
    folds = _tables(run, names, about.get("rest"), seed)
    whole = pd.concat(folds.values())
    found = _areas(folds, run.variants, count, seed)
    rows = [_row(run, name, about, found, len(whole)) for name in run.variants]
    comparisons, judged = [], []
    for name in names:
        column = f"reader_{name}"
        read = {fold: t[t[column].notna()].reset_index(drop=True) for fold, t in folds.items()}
        read = {fold: table for fold, table in read.items() if len(table)}
        if not read:
            continue
        found = _areas(read, [column, *run.variants], count, seed)
        rows.append(_row(run, column, about, found, sum(map(len, read.values()))))
        comparisons += _comparisons(run, name, found)
        if name != ALL_READERS:
            judged.append(_matched(run, name, count, seed))
    pairs = _pairs(run, folds, about, count, seed)
    rows += [pairs["mean"]] if pairs else []
    for row, p in zip(comparisons, holm([row["p"] for row in comparisons]), strict=True):
        row["p_holm"] = p
    return {"n": len(whole), "of": sum(len(run.part(run.variants[0], fold, "test")) for fold in run.folds),
            "counts": {SCREEN: int(_label(whole, "screening").sum()),
                       INTERVAL: int((whole[DETECTION] == INTERVAL).sum())},
            "rest": about.get("rest"), "interval_weight": min(table["weight"].min() for table in folds.values()),
            "positive_from": cuts(run)["positive_from"], "rows": rows, "pairs": pairs.get("rows", []),
            "comparisons": comparisons, "matched": [row for row in judged if row["why_not"] is None],
            "not_matched": [row for row in judged if row["why_not"] is not None],
            "regions": _regions(run, count, seed)}


def _tables(run: Run, names: list[str], rest: int | None, seed: int) -> dict[int, pd.DataFrame]:
    """By fold: an examination a row, with a column of scores for each model and reader, NaN where not read."""
    tables = {}
    for fold in run.folds:
        table = run.part(run.variants[0], fold, "test")
        if DETECTION not in table:
            table[DETECTION] = ""
        for name in (f"reader_{name}" for name in names):
            table[name] = table.get(name, np.nan)
        for variant in run.variants:
            table[variant] = run.part(variant, fold, "test")["score"]
        table["weight"] = 1.0
        single = [f"reader_{name}" for name in names if name != ALL_READERS]
        if ALL_READERS in names:  # a sum over fewer readers is another score
            table.loc[table[single].isna().any(axis=1), f"reader_{ALL_READERS}"] = np.nan
        tables[fold] = table
    total = sum(int((~_cancer(table)).sum()) for table in tables.values())
    if rest is None or rest >= total:
        return tables
    random = np.random.default_rng([seed, 5000])
    for table in tables.values():
        table.loc[table[DETECTION] == INTERVAL, "weight"] = rest / total
    return {fold: _drawn(table, rest / total, random) for fold, table in tables.items()}


def _cancer(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Examinations with a cancer that they found, or of the interval after them."""
    return ((table["label"] == 1) | (table[DETECTION] == INTERVAL)).to_numpy()


def _drawn(table: pd.DataFrame, share: float, random: np.random.Generator) -> pd.DataFrame:
    """All cancers, and a share of the others."""
    others = np.flatnonzero(~_cancer(table))
    kept = random.choice(others, round(share * len(others)), replace=False)
    cancers = np.setdiff1d(np.arange(len(table)), others)
    return table.iloc[np.sort(np.concatenate([cancers, kept]))].reset_index(drop=True)


def _label(table: pd.DataFrame, task: str) -> NDArray[np.int64]:
    return (_cancer(table) if task == "all" else (table["label"] == 1).to_numpy()).astype(np.int64)


def _areas(folds: dict[int, pd.DataFrame], scorers: Sequence[str], count: int,
           seed: int) -> dict[tuple[str, str], Areas]:
    """Each scorer's and task's areas by fold, and their replicates, which all scorers share."""
    keys = [(scorer, task) for scorer in scorers for task in TASKS]
    areas: dict[tuple[str, str], list[float]] = {key: [] for key in keys}
    draws: dict[tuple[str, str], list[Array]] = {key: [] for key in keys}
    for fold, table in folds.items():
        weight = {"screening": table["weight"], "all": table["weight"] > 0}
        statistics = [Weighted(Auroc(_label(table, task), table[scorer]), weight[task]) for scorer, task in keys]
        drawn = replicates(table["patient_id"], statistics, count, [seed, fold])
        for key, statistic, found in zip(keys, statistics, drawn, strict=True):
            areas[key].append(float(statistic(np.ones((1, len(table))))[0]))
            draws[key].append(found)
    labels = {task: [_label(table, task)[table["weight"] > 0] for table in folds.values()] for task in TASKS}
    return {key: Areas(np.array(areas[key]), np.stack(draws[key]), labels[key[1]]) for key in keys}


def _row(run: Run, scorer: str, about: dict[str, Any], found: dict[tuple[str, str], Areas], n: int) -> dict[str, Any]:
    """A row of Table 1 with the paper's two figures."""
    tasks = {task: found[scorer, task].summary() for task in TASKS}
    if scorer in run.variants:
        entry = run.study["variants"][scorer]
        paper = entry.get("paper") or {}
        given = [(paper.get("auroc") or [None])[0], paper.get("all_cancers")]
        return {"name": scorer, "label": entry.get("label", scorer), "reader": False, "n": n, "paper": given, **tasks}
    everyone = scorer == f"reader_{ALL_READERS}"
    label = "All readers, sum a breast" if everyone else f"Reader: {scorer.removeprefix('reader_')}"
    two = len(set(run.columns("reader_")) - {ALL_READERS}) == 2  # as the paper's are; of more, their row is the pairs'
    paper = about.get("two_readers") if everyone and two else None if everyone else about.get("one_reader")
    paper = paper or [None, None]
    return {"name": scorer, "label": label, "reader": True, "n": n, "paper": paper, **tasks}


def _comparisons(run: Run, name: str, found: dict[tuple[str, str], Areas]) -> list[dict[str, Any]]:
    """Every model less one reader, on what that reader read; p by the bootstrap."""
    rows = []
    for variant in run.variants:
        for task in TASKS:
            model, reader = found[variant, task], found[f"reader_{name}", task]
            gain, drawn = model.folds - reader.folds, model.drawn - reader.drawn
            summary = fold_summary(gain, drawn)
            defined = np.isfinite(gain)
            p = p_value(drawn[defined].mean(axis=0)) if defined.any() else np.nan
            rows.append({"variant": variant, "reader": name, "task": task, "difference": summary["mean"],
                         "ci95": summary["ci95"], "p": p})
    return rows


def _pairs(run: Run, folds: dict[int, pd.DataFrame], about: dict[str, Any], count: int,
           seed: int) -> dict[str, Any]:
    """Every two of several readers: the larger of the breasts' sums of their scores (§4.3), on what both read.

    Returns:
        `rows`, each pair's, and `mean`, the row of the mean over pairs; empty with fewer than three readers.
    """
    names = [name for name in run.columns("reader_") if name != ALL_READERS]
    sides = sorted({key.partition("_")[0] for key in run.columns("reading_")})
    if len(names) < 3 or not sides:
        return {}
    rows: list[dict[str, Any]] = []
    pairs, counts = [], []
    for first, second in combinations(names, 2):
        summed = {fold: _sum(table, sides, first, second) for fold, table in folds.items()}
        tables = {fold: table.assign(pair=summed[fold].fillna(0), weight=table["weight"] * summed[fold].notna())
                  for fold, table in folds.items()}
        if n := sum(int(read.notna().sum()) for read in summed.values()):
            counts.append(n)
            pairs.append(_areas(tables, ["pair"], count, seed))
            rows.append({"readers": [first, second], "n": n,
                         **{task: pairs[-1]["pair", task].summary() for task in TASKS}})
    if not rows:
        return {}
    means = {task: Areas(np.mean([pair["pair", task].folds for pair in pairs], axis=0),
                         np.mean([pair["pair", task].drawn for pair in pairs], axis=0), pairs[0]["pair", task].labels)
             for task in TASKS}
    mean = {"name": "pairs", "label": f"Two readers, sum a breast: mean of {len(rows)} pairs", "reader": True,
            "n": max(counts), "paper": about.get("two_readers") or [None, None],
            **{task: means[task].summary() for task in TASKS}}
    return {"rows": rows, "mean": mean}


def _sum(table: pd.DataFrame, sides: Sequence[str], first: str, second: str) -> pd.Series:
    """An examination's score by two readers; NaN where one of them has not read it."""
    empty = pd.Series(np.nan, table.index)
    both = [table.get(f"reading_{side}_{first}", empty) + table.get(f"reading_{side}_{second}", empty)
            for side in sides]
    read = table[f"reader_{first}"].notna() & table[f"reader_{second}"].notna()
    return pd.concat(both, axis=1).max(axis=1).where(read)


def _matched(run: Run, name: str, count: int, seed: int) -> dict[str, Any]:
    """Sensitivity to screen-detected cancer at one reader's specificity, on all that the reader read; or why not."""
    tables = reader_tables(run, name)
    whole, column = pd.concat(tables.values()), f"reader_{name}"
    point = operating_point(name, _label(whole, "screening"), whole[column].to_numpy(), cuts(run))
    if point["sensitivity"] is None or point["specificity"] is None:
        return {"reader": name, "why_not": point["why_not"] or "both classes are needed"}
    found = matched(run, name, tables, point["positive_from"], count, seed)
    return {"reader": name, "why_not": None, "positive_from": point["positive_from"], "scale": point["scale"],
            "specificity": point["specificity"], "sensitivity": found.pop(""), "variants": found}


def _regions(run: Run, count: int, seed: int) -> dict[str, Any]:
    """The share of positive test images whose region holds the lesion, beside one around a random breast pixel."""
    parts = []
    for fold in run.folds:
        path = run.place(run.variants[0], fold) / "regions.csv"
        if not path.is_file():
            continue
        parts.append(read_results(path, ("patient_id", "hit", "chance"), AGAIN, dtype={
            "exam_id": str, "patient_id": str, "hit": float, "chance": float}))
    if not parts:
        return {}
    table = pd.concat(parts)
    both = table[["hit", "chance"]].to_numpy()
    statistic = Shares(both, np.ones_like(both))
    value = statistic(np.ones((1, len(table))))[0]
    drawn = replicates(table["patient_id"], [statistic], count, seed)[0]
    gain = drawn[:, 0] - drawn[:, 1]
    return {"n": len(table), "patients": table["patient_id"].nunique(),
            **{name: {"value": value[i], "ci95": interval(drawn[:, i])} for i, name in enumerate(("hit", "chance"))},
            "difference": {"value": value[0] - value[1], "ci95": interval(gain)}, "p": p_value(gain)}
