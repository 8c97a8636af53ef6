"""Every variant in every fold: AUROC, rates at each rule's threshold, and bootstrap replicates of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.metrics import Auroc, Shares, replicates, sensitivity_threshold, specificity_threshold, youden_threshold
from pipeline.report.predictions import Run
from pipeline.report.summary import fold_summary

RATES = ("accuracy", "sensitivity", "specificity")
TARGETS = tuple((kind, target) for kind in ("specificity", "sensitivity") for target in (0.90, 0.95))
RULES = ("youden", "0.5", *(f"{kind}_{target:.2f}" for kind, target in TARGETS))


@dataclass
class Scored:
    """A variant's results a fold: values of its test set, and their bootstrap replicates."""

    thresholds: list[dict[str, float]] = field(default_factory=list)
    auroc: list[float] = field(default_factory=list)
    auroc_draws: list[NDArray[np.float64]] = field(default_factory=list)  # each (count,)
    rates: list[NDArray[np.float64]] = field(default_factory=list)  # each (rules × 3 + 1,), Brier's last
    rate_draws: list[NDArray[np.float64]] = field(default_factory=list)  # each (count, rules × 3 + 1)

    def rate(self, rule: str, name: str) -> dict[str, Any]:
        """Summary over folds of a rate at the thresholds of a rule."""
        return self._summary(RULES.index(rule) * len(RATES) + RATES.index(name))

    def brier(self) -> dict[str, Any]:
        """Summary over folds of Brier's score, the mean of (score − label)²."""
        return self._summary(-1)

    def _summary(self, column: int) -> dict[str, Any]:
        return fold_summary(np.stack(self.rates)[:, column], np.stack(self.rate_draws)[:, :, column])


def score_all(run: Run, count: int, seed: int) -> dict[str, Scored]:
    """Every variant in every fold, under draws that the variants share, so that differences are paired."""
    scored = {name: Scored() for name in run.variants}
    for fold in run.folds:
        statistics: list[Any] = []
        for name in run.variants:
            test = run.part(name, fold, "test")
            cuts = thresholds(run.part(name, fold, "validation"))
            label, score = test["label"].to_numpy(), test["score"].to_numpy()
            scored[name].thresholds.append(cuts)
            statistics += [Auroc(label, score), rate_columns(label, score, list(cuts.values()))]
        patient = test["patient_id"].to_numpy()  # the same rows in every variant
        draws = replicates(patient, statistics, count, [seed, fold])
        whole = np.ones((1, len(patient)))
        for i, name in enumerate(run.variants):
            area, rates = statistics[2 * i : 2 * i + 2]
            scored[name].auroc.append(float(area(whole)[0]))
            scored[name].rates.append(rates(whole)[0])
            scored[name].auroc_draws.append(draws[2 * i])
            scored[name].rate_draws.append(draws[2 * i + 1])
    return scored


def ranking(run: Run, scored: dict[str, Scored]) -> list[str]:
    """Variants by their mean AUROC, the largest first; those without one last."""
    area = {name: np.asarray(scored[name].auroc, float) for name in run.variants}
    mean = {name: values[np.isfinite(values)].mean() if np.isfinite(values).any() else -1.0
            for name, values in area.items()}
    return sorted(run.variants, key=lambda name: -mean[name])


def thresholds(validation: pd.DataFrame) -> dict[str, float]:
    """The threshold of each rule, chosen on a fold's validation rows; NaN where they lack a class."""
    label, score = validation["label"], validation["score"]
    chosen = {"youden": youden_threshold(label, score) if len(label) else np.nan, "0.5": 0.5}
    for kind, target in TARGETS:
        choose = specificity_threshold if kind == "specificity" else sensitivity_threshold
        chosen[f"{kind}_{target:.2f}"] = choose(label, score, target) if len(label) else np.nan
    return chosen


def rate_columns(label: NDArray[Any], score: NDArray[Any], cuts: list[float]) -> Shares:
    """Accuracy, sensitivity and specificity at each threshold, then Brier's score, as shares of rows.

    Args:
        label, score: shape (n,).
        cuts: thresholds; at NaN the rates are NaN.

    Returns:
        A statistic of weights (chunk, n) with values (chunk, 3 × thresholds + 1).
    """
    value, where = [], []
    for cut in cuts:
        correct = (score >= cut) == (label == 1)
        known = np.full(len(label), not np.isnan(cut))
        value += [correct] * 3
        where += [known, known & (label == 1), known & (label == 0)]
    value.append((score - label) ** 2)
    where.append(np.ones(len(label), dtype=bool))
    return Shares(np.stack(value, axis=1), np.stack(where, axis=1))
