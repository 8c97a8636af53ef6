"""The best of 35 subsets: how often intervals hold its truth, and how often p of all being alike is below 0.05.

    python benchmarks/selection.py     # the table of docs/explanation/statistics.md, about six minutes

Five folds test 60 rows each and validate 48, 40 % positive. Scores are normal; of a score's variance within its class
all subsets share nine tenths, or a half.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipeline.metrics import Auroc, area_interval, best_of, interval, replicates

Array = NDArray[np.float64]
FOLDS, TEST, VALIDATION, POSITIVE = 5, 60, 48, 0.4


def scores(random: np.random.Generator, rows: int, truth: Array, shared: float) -> tuple[NDArray[np.int64], Array]:
    """Labels `(rows,)` and scores `(subsets, rows)` whose areas are `truth`."""
    label = np.arange(rows) < round(POSITIVE * rows)
    own = random.normal(size=(len(truth), rows))
    noise = np.sqrt(shared) * random.normal(size=rows) + np.sqrt(1 - shared) * own
    return label.astype(int), noise + np.sqrt(2) * norm.ppf(truth)[:, None] * label


def study(random: np.random.Generator, truth: Array, shared: float, count: int) -> dict[str, float]:
    """One study: what the best shows, whether intervals hold its truth, and p."""
    areas, draws, labels, nested, moved, chosen = [], [], [], [], [], []
    for _ in range(FOLDS):
        label, found = scores(random, TEST, truth, shared)
        statistics = [Auroc(label, score) for score in found]
        areas.append([float(statistic(np.ones((1, TEST)))[0]) for statistic in statistics])
        draws.append(replicates(np.arange(TEST), statistics, count, int(random.integers(2**31))))
        labels.append(label)
        label, found = scores(random, VALIDATION, truth, shared)
        chosen.append(int(np.argmax([Auroc(label, score)(np.ones((1, VALIDATION)))[0] for score in found])))
        nested.append(areas[-1][chosen[-1]])
        moved.append(draws[-1][chosen[-1]])
    mean, spread = np.mean(areas, axis=0), np.mean(draws, axis=0)
    best = best_of(mean, spread, labels)

    def holds(ends: tuple[float, float], value: float) -> float:
        return float(ends[0] <= value <= ends[1])

    of, area = truth[best.which], float(mean[best.which])
    plain = area_interval([area], spread[[best.which]], labels)
    return {"best shows": area, "its truth": of, "percentile": holds(interval(spread[best.which]), of),
            "logit": holds(plain, of), "**of the maximum**": holds(best.ends, of),
            "width": best.ends[1] - best.ends[0], "plain width": plain[1] - plain[0],
            "p < 0.05": float(best.p < 0.05), "nested shows": float(np.mean(nested)),
            "nested truth": float(truth[chosen].mean()),
            "**nested**": holds(area_interval(nested, moved, labels), float(truth[chosen].mean()))}


SCENES = {"35 alike": np.full(35, 0.80), "one better (.86)": np.r_[0.86, np.full(34, 0.80)],
          "spread evenly from .70 to .84": np.linspace(0.70, 0.84, 35)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", type=int, default=400)
    parser.add_argument("--replicates", type=int, default=400)
    arguments = parser.parse_args()
    for name, truth in SCENES.items():
        for shared in (0.9, 0.5):
            random = np.random.default_rng([0, round(10 * shared)])
            rows = [study(random, truth, shared, arguments.replicates) for _ in range(arguments.sets)]
            if name == next(iter(SCENES)) and shared == 0.9:
                print(f"| subsets | shared | {' | '.join(rows[0])} |\n{'|---' * (2 + len(rows[0]))}|")
            cells = (f"{np.mean([row[key] for row in rows]):.3f}" for key in rows[0])
            print(f"| {name} | {shared} | {' | '.join(cells)} |", flush=True)
