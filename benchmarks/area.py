"""AUROC with patient-clustered intervals at the size of a screening programme."""

from __future__ import annotations

from collections.abc import Callable

import measure
import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.metrics import Auroc, interval, replicates

EXAMS, PATIENTS, SHARE, COUNT = 150_000, 60_000, 0.005, 2000
FEW = 20  # replicates of the plain way, which are timed


def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patient, label and score of each examination."""
    random = np.random.default_rng(0)
    label = (random.random(EXAMS) < SHARE).astype(int)
    return random.integers(0, PATIENTS, EXAMS), label, random.normal(size=EXAMS) + 2 * label


def ours() -> Callable[[], dict[str, float]]:
    patient, label, score = cohort()

    def work() -> dict[str, float]:
        low, high = interval(replicates(patient, [Auroc(label, score)], COUNT, 0)[0])
        return {"low": low, "high": high}

    return work


def plain() -> Callable[[], dict[str, float]]:
    """Draw patients, gather their examinations, scikit-learn's AUROC; `FEW` times."""
    patient, label, score = cohort()
    order = np.argsort(patient, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(patient[order])) + 1)  # of each patient who has any

    def work() -> dict[str, float]:
        random, areas = np.random.default_rng(0), []
        for _ in range(FEW):
            drawn = np.concatenate([rows[i] for i in random.integers(0, len(rows), len(rows))])
            areas.append(roc_auc_score(label[drawn], score[drawn]))
        return {"mean": float(np.mean(areas))}

    return work


def report(repeats: int) -> list[str]:
    """Measure both; returns Markdown."""
    runs = measure.take_turns({"ours": measure.Work(ours), "plain": measure.Work(plain)}, repeats)
    rows = []
    for n in measure.THREADS:
        mine, other = runs["ours", n], runs["plain", n]
        rows.append([str(n), mine.time(), f"{other.seconds * COUNT / FEW:,.0f}",
                     f"{other.seconds * COUNT / FEW / mine.seconds:.0f}",
                     f"{mine.peak - mine.results[0].imports:,.0f}"])
    low, high = (runs["ours", 2].stage(end) for end in ("low", "high"))
    return [
        "## AUROC with intervals",
        "",
        f"{EXAMS:,} examinations of {PATIENTS:,} patients, {SHARE:.1%} with cancer: AUROC with the patient-clustered",
        f"95 % interval of {COUNT:,} replicates ({low:.3f} to {high:.3f}). Plain draws patients, gathers their",
        f"examinations and calls scikit-learn; {FEW} replicates are timed, {COUNT:,} extrapolated.",
        "",
        *measure.table(["threads", "ours, s", "plain, s", "× ours", "MB added"], rows),
        measure.told(runs),
        "",
    ]
