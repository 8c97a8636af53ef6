"""The best of several variants, with what its choice costs: of all subsets, or of one baseline's alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import area_interval, auroc, best_of
from pipeline.report.predictions import BEST, Run
from pipeline.report.summary import fold_summary


class Drawn(Protocol):
    """A variant's areas by fold, and their replicates, each `(count,)`."""

    auroc: list[float]
    auroc_draws: list[NDArray[np.float64]]


def groups(run: Run) -> dict[str, list[str]]:
    """Variants of which one is chosen by its test AUROC: those of each `best_of`, or all where the best is sought."""
    found: dict[str, list[str]] = {}
    for name in run.variants:
        if group := run.study["variants"][name].get("best_of"):
            found.setdefault(group, []).append(name)
    if run.study["comparisons"] == BEST:
        found["all"] = list(run.variants)
    return {group: names for group, names in found.items() if len(names) > 1}


def selection(run: Run, scored: Mapping[str, Drawn]) -> dict[str, dict[str, Any]]:
    """The best of each group.

    Returns:
        group -> `variant`, `of`, `auroc` and `ci95` as of any variant, `ci95_chosen` and `p` that know of the choice,
        and `nested`: the test AUROC where each fold chooses by its validation part, with `chosen` by fold.
    """
    found = {group: _best(run, scored, names) for group, names in groups(run).items()}
    return {group: entry for group, entry in found.items() if entry}


def _best(run: Run, scored: Mapping[str, Drawn], names: list[str]) -> dict[str, Any]:
    areas = np.array([scored[name].auroc for name in names])  # (variants, folds)
    known = np.flatnonzero(np.isfinite(areas).all(axis=0))
    if not len(known):
        return {}
    draws = np.stack([np.stack(scored[name].auroc_draws) for name in names])[:, known]  # (variants, folds, count)
    labels = [run.part(names[0], run.folds[fold], "test")["label"].to_numpy() for fold in known]
    means = areas[:, known].mean(axis=1)
    best = best_of(means, draws.mean(axis=1), labels)
    plain = area_interval([means[best.which]], draws[best.which].mean(axis=0, keepdims=True), labels)
    return {"variant": names[best.which], "of": len(names), "auroc": means[best.which], "ci95": plain,
            "ci95_chosen": best.ends, "p": best.p, "nested": _nested(run, names, known, areas, draws, labels)}


def _nested(run: Run, names: list[str], folds: NDArray[np.int64], areas: NDArray[np.float64],
            draws: NDArray[np.float64], labels: list[NDArray[np.int64]]) -> dict[str, Any] | None:
    """Each fold's choice by its validation AUROC, and its test AUROC; None where a fold validates one class alone."""
    chosen = []
    for fold in folds:
        tables = [run.part(name, run.folds[fold], "validation") for name in names]
        seen = np.array([auroc(table["label"], table["score"]) for table in tables])
        if not np.isfinite(seen).all():
            return None
        chosen.append(int(seen.argmax()))
    which = np.arange(len(folds))
    return {"chosen": [names[index] for index in chosen],
            **fold_summary(areas[:, folds][chosen, which], draws[chosen, which], labels)}
