"""What a screening study adds to the report: Table 1 with readers, and whether regions hold the lesions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import InputError
from pipeline.metrics import Auroc, Shares, holm, interval, p_value, replicates
from pipeline.metrics.roc import Array
from pipeline.report.predictions import AGAIN, Run
from pipeline.report.strata import operating_point
from pipeline.report.summary import fold_summary
from pipeline.screening import ALL_READERS

TASKS = {"screening": ("screen",), "all": ("screen", "interval")}  # what is positive, by the group `detection`
DETECTION = "group_detection"


class Matched(Auroc):
    """A score's sensitivity at a reader's specificity, and the reader's own, for many weightings at once.

    Both are of the same draw: where others are drawn, the reader's specificity is another, too.

    Args:
        label, score: as `Auroc`.
        called: whether the reader called each examination positive, shape (n,).
    """

    def __init__(self, label: ArrayLike, score: ArrayLike, called: ArrayLike) -> None:
        super().__init__(label, score)
        self.called = np.asarray(called, float)

    def __call__(self, weight: Array) -> Array:
        """Sensitivities under weights (chunk, n): shape (chunk, 2), the score's and the reader's."""
        negative, positive = weight[:, self.negative], weight[:, self.positive]
        total = np.zeros((len(weight), len(self.negative) + 1))
        np.cumsum(negative, axis=1, out=total[:, 1:])
        false = total[:, -1:] - total[:, self.below]  # negatives at or above each positive
        allowed = (negative * self.called[self.negative]).sum(axis=1, keepdims=True) + 1e-9
        reader = (positive * self.called[self.positive]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.stack([(positive * (false <= allowed)).sum(axis=1), reader], axis=1)
            return found / positive.sum(axis=1, keepdims=True)


def screening(run: Run, count: int, seed: int) -> dict[str, Any]:
    """Table 1 (§5), paired tests of models against readers, sensitivity at readers' specificity, regions.

    Of the examinations that all readers scored; those without cancer are drawn down to the study's `rest`.

    Returns:
        `n`, `of`, `rows` (models, then readers), `comparisons`, `matched`, `regions`; empty in other studies.
    """
    about = run.study.get("screening")
    if about is None:
        return {}
    names = run.columns("reader_")
    folds = _tables(run, names, about.get("rest"), seed)
    if not sum(map(len, folds)):
        return {}
    scorers = [*run.variants, *(f"reader_{name}" for name in names)]
    areas: dict[tuple[str, str], list[float]] = {(s, task): [] for s in scorers for task in TASKS}
    draws: dict[tuple[str, str], list[Array]] = {key: [] for key in areas}
    for fold, table in zip(run.folds, folds, strict=True):
        statistics = [Auroc(_label(table, task), table[scorer]) for scorer, task in areas]
        drawn = replicates(table["patient_id"], statistics, count, [seed, fold])
        for key, statistic, found in zip(areas, statistics, drawn, strict=True):
            areas[key].append(float(statistic(np.ones((1, len(table))))[0]))
            draws[key].append(found)
    rows = [_row(run, scorer, about, {task: fold_summary(areas[scorer, task], np.stack(draws[scorer, task]))
                                      for task in TASKS}) for scorer in scorers]
    whole = pd.concat(folds)
    return {"n": len(whole), "of": sum(len(run.part(run.variants[0], fold, "test")) for fold in run.folds),
            "counts": {kind: int((whole[DETECTION] == kind).sum()) for kind in TASKS["all"]}, "rest": about.get("rest"),
            "rows": rows, "comparisons": _comparisons(run, names, areas, draws),
            "matched": _matched(run, names, folds, count, seed), "regions": _regions(run, count, seed)}


def _tables(run: Run, names: list[str], rest: int | None, seed: int) -> list[pd.DataFrame]:
    """A table a fold: an examination a row, with a column of scores for each model and reader."""
    tables = []
    for fold in run.folds:
        table = run.part(run.variants[0], fold, "test")
        if DETECTION not in table:
            table[DETECTION] = np.where(table["label"] == 1, "screen", "negative")
        for name in (f"reader_{name}" for name in names):
            table[name] = table.get(name, np.nan)
        for variant in run.variants:
            table[variant] = run.part(variant, fold, "test")["score"]
        tables.append(table.dropna(subset=[f"reader_{name}" for name in names]).reset_index(drop=True))
    total = sum(int((~t[DETECTION].isin(TASKS["all"])).sum()) for t in tables)
    if rest is None or rest >= total:
        return tables
    random = np.random.default_rng([seed, 5000])
    return [_drawn(table, rest / total, random) for table in tables]


def _drawn(table: pd.DataFrame, share: float, random: np.random.Generator) -> pd.DataFrame:
    """All cancers, and a share of the others."""
    others = np.flatnonzero(~table[DETECTION].isin(TASKS["all"]))
    kept = random.choice(others, round(share * len(others)), replace=False)
    cancers = np.setdiff1d(np.arange(len(table)), others)
    return table.iloc[np.sort(np.concatenate([cancers, kept]))].reset_index(drop=True)


def _label(table: pd.DataFrame, task: str) -> NDArray[np.int64]:
    return table[DETECTION].isin(TASKS[task]).to_numpy().astype(np.int64)


def _row(run: Run, scorer: str, about: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A row of Table 1 with the paper's two figures."""
    if scorer in run.variants:
        entry = run.study["variants"][scorer]
        paper = entry.get("paper") or {}
        given = [(paper.get("auroc") or [None])[0], paper.get("all_cancers")]
        return {"name": scorer, "label": entry.get("label", scorer), "reader": False, "paper": given, **found}
    everyone = scorer == f"reader_{ALL_READERS}"
    label = "All readers, sum a breast" if everyone else f"Reader: {scorer.removeprefix('reader_')}"
    paper = about.get("two_readers" if everyone else "one_reader") or [None, None]
    return {"name": scorer, "label": label, "reader": True, "paper": paper, **found}


def _comparisons(run: Run, names: list[str], areas: dict[tuple[str, str], list[float]],
                 draws: dict[tuple[str, str], list[Array]]) -> list[dict[str, Any]]:
    """Every model less every reader; p by the bootstrap, corrected by Holm over all of them."""
    rows = []
    for name in names:
        for variant in run.variants:
            for task in TASKS:
                gain = np.subtract(areas[variant, task], areas[f"reader_{name}", task])
                drawn = np.stack(draws[variant, task]) - np.stack(draws[f"reader_{name}", task])
                summary = fold_summary(gain, drawn)
                defined = np.isfinite(gain)
                p = p_value(drawn[defined].mean(axis=0)) if defined.any() else np.nan
                rows.append({"variant": variant, "reader": name, "task": task, "difference": summary["mean"],
                             "ci95": summary["ci95"], "p": p})
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _matched(run: Run, names: list[str], folds: list[pd.DataFrame], count: int, seed: int) -> list[dict[str, Any]]:
    """Sensitivity to screen-detected cancer at the specificity of each reader whose cut-off is known."""
    rows = []
    whole = pd.concat(folds)
    for name in names:
        column = f"reader_{name}"
        point = operating_point(_label(whole, "screening"), whole[column].to_numpy())
        if point["sensitivity"] is None or point["specificity"] is None:
            continue
        values: dict[str, list[Array]] = {v: [] for v in run.variants}
        draws: dict[str, list[Array]] = {v: [] for v in run.variants}
        for fold, table in zip(run.folds, folds, strict=True):
            label, called = _label(table, "screening"), (table[column] >= point["positive_from"]).to_numpy()
            statistics = [Matched(label, table[variant], called) for variant in run.variants]
            drawn = replicates(table["patient_id"], statistics, count, [seed, fold])
            for variant, statistic, found in zip(run.variants, statistics, drawn, strict=True):
                values[variant].append(statistic(np.ones((1, len(table))))[0])
                draws[variant].append(found)
        of = {v: [fold_summary(np.stack(values[v])[:, i], np.stack(draws[v])[:, :, i]) for i in range(2)]
              for v in run.variants}
        rows.append({"reader": name, "positive_from": point["positive_from"], "specificity": point["specificity"],
                     "sensitivity": of[run.variants[0]][1], "variants": {v: found[0] for v, found in of.items()}})
    return rows


def _regions(run: Run, count: int, seed: int) -> dict[str, Any]:
    """The share of positive test images whose region holds the lesion, beside one around a random breast pixel."""
    parts = []
    for fold in run.folds:
        path = run.place(run.variants[0], fold) / "regions.csv"
        if not path.is_file():
            continue
        try:
            table = pd.read_csv(path, dtype={"exam_id": str, "patient_id": str}, keep_default_na=False)
            table[["hit", "chance"]] = table[["hit", "chance"]].astype(float)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: cannot be read as a table ({str(error).strip()}); {AGAIN}") from None
        parts.append(table)
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
