"""How often 95 % intervals of an AUROC hold the truth: small sets, near the ceiling, clustered and not.

    python benchmarks/intervals.py                # the table of docs/explanation/statistics.md, about six minutes
    python benchmarks/intervals.py --sets 200     # a first look

Scores are normal, with equal variance in both classes and 40 % positive rows. Clusters are patients of two rows whose
scores share half of their variance: `breasts` have labels of their own, `exams` the same label.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from pipeline.metrics import Auroc, area_interval, delong_variance, interval, on_logits, score_ends

Array = NDArray[np.float64]
SHARE, SHARED = 0.4, 0.5  # of positive rows; of a score's variance that a patient's rows share
KINDS = ("independent", "breasts", "exams")
Z = norm.ppf(0.975)


def cohort(random: np.random.Generator, n: int, area: float, kind: str) -> tuple[Array, Array, NDArray[np.int64]]:
    """Labels, scores and patients `(n,)`, both classes at least twice."""
    shift = np.sqrt(2) * norm.ppf(area)
    patients = np.arange(n) // (1 if kind == "independent" else 2)
    while True:
        draws = random.random(patients[-1] + 1)[patients] if kind == "exams" else random.random(n)
        label = (draws < SHARE).astype(float)
        if 2 <= label.sum() <= n - 2:
            break
    shared = 0 if kind == "independent" else SHARED
    own = np.sqrt(shared) * random.normal(size=patients[-1] + 1)[patients]
    return label, shift * label + own + np.sqrt(1 - shared) * random.normal(size=n), patients


def bca(area: float, draws: Array, statistic: Auroc, patients: NDArray[np.int64]) -> tuple[float, float]:
    """Efron's bias-corrected and accelerated interval; patients are left out one at a time."""
    draws = draws[np.isfinite(draws)]
    below = np.mean(draws < area) + 0.5 * np.mean(draws == area)
    if not 0 < below < 1:
        return float(draws.min()), float(draws.max())
    left = statistic((patients[None] != np.unique(patients)[:, None]).astype(float))
    gap = np.nanmean(left) - left[np.isfinite(left)]
    spread = (gap**2).sum()
    skew = (gap**3).sum() / (6 * spread**1.5) if spread else 0.0
    at = norm.ppf(below) + np.array([-Z, Z])
    low, high = np.quantile(draws, norm.cdf(norm.ppf(below) + at / (1 - skew * at)))
    return float(low), float(high)


def alone(method: Callable[..., tuple[float, float]], area: float, *given: float) -> tuple[float, float]:
    """An interval that is the area alone where that is 0 or 1."""
    return method(area, *given) if 0 < area < 1 else (area, area)


def intervals(random: np.random.Generator, label: Array, score: Array, patients: NDArray[np.int64],
              count: int) -> dict[str, tuple[float, float]]:
    """Each method's interval of one set."""
    statistic = Auroc(label, score)
    area = float(statistic(np.ones((1, len(label))))[0])
    size = patients[-1] + 1
    times = random.multinomial(size, np.full(size, 1 / size), count).astype(float)
    draws = statistic(times[:, patients])
    bayes = statistic(random.exponential(size=(count, size))[:, patients])
    error, model = float(np.nanstd(draws)), float(delong_variance(label, score)[1])
    effect = max(error**2 / model, 1.0) if model > 0 else 1.0
    small = np.sqrt(size / (size - 1)) * t.ppf(0.975, size - 1) / Z
    sizes = [(int(label.sum()), int((1 - label).sum()))]
    return {"percentile": interval(draws), "BCa": bca(area, draws, statistic, patients), "Bayesian": interval(bayes),
            "DeLong logit": alone(on_logits, area, float(np.sqrt(model))), "logit": alone(on_logits, area, error),
            "logit t, score at 1": on_logits(area, error * small) if area < 1 else score_ends(1, sizes),
            "score": score_ends(area, sizes, effect), "**logit, score at 1**": area_interval([area], [draws], [label])}


def coverage(n: int, area: float, kind: str, sets: int, count: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """By method: share of the intervals that are given which hold the truth, and their median width."""
    random = np.random.default_rng([seed, n, int(100 * area), KINDS.index(kind)])
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(sets):
        for name, ends in intervals(random, *cohort(random, n, area, kind), count).items():
            if np.isfinite(ends[0]):
                found.setdefault(name, []).append(ends)
    return {name: (float(np.mean([low <= area <= high for low, high in ends])),
                   float(np.nanmedian([high - low for low, high in ends]))) for name, ends in found.items()}


def table(measure: Callable[[int, float, str], dict[str, tuple[float, float]]]) -> None:
    head = False
    for kind in KINDS:
        for n in (30, 40, 100):
            for area in (0.80, 0.90, 0.97):
                found = measure(n, area, kind)
                if not head:
                    print(f"| rows | n | AUROC | {' | '.join(found)} |\n{'|---' * (3 + len(found))}|")
                    head = True
                cells = " | ".join(f"{100 * held:.1f} ({width:.2f})" for held, width in found.values())
                print(f"| {kind} | {n} | {area:.2f} | {cells} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=800)
    arguments = parser.parse_args()
    table(lambda n, area, kind: coverage(n, area, kind, arguments.sets, arguments.replicates))
