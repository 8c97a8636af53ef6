"""The best of several: by hand, and on many studies in which all are alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm

from pipeline.metrics import Auroc, area_interval, best_of, replicates


def test_the_largest_deviation_of_any_takes_the_best_ones_place() -> None:
    """Two areas of 0.7 and 0.8 whose replicates move in opposite directions, by 0.06 and 0.01."""
    up = np.array([0.06, -0.06] * 50)
    chosen = best_of([0.7, 0.8], [0.7 + up, 0.8 - up / 6], [np.repeat([0, 1], 50)])
    assert chosen.which == 1
    assert chosen.ends[0] == pytest.approx(expit(logit(0.8) - 0.06 / (0.7 * 0.3)), abs=1e-6)  # of the first
    alone = area_interval([0.8], [0.8 - up / 6], [[0, 1]])
    assert chosen.ends[0] < alone[0] and chosen.ends[1] == alone[1]
    # The best is 0.05 above their mean; of two alike, one would be 0.035 above it in each replicate.
    assert chosen.p == pytest.approx(1 / 101)
    assert best_of([0.76, 0.8], [0.76 + up, 0.8 - up / 6], [[0, 1]]).p == 1  # 0.02 above


def test_nothing_is_said_without_replicates_of_both_classes() -> None:
    chosen = best_of([0.7, 0.8], [[0.7, np.nan], [0.8, np.nan]], [[0, 1]])
    assert chosen.which == 1 and np.isnan([*chosen.ends, chosen.p]).all()


def test_separated_classes_have_an_interval_that_knows_of_the_choice() -> None:
    labels = [np.repeat([0, 1], 10)]
    two, many = (best_of([1.0] * k, np.ones((k, 100)), labels) for k in (2, 35))
    assert many.ends[0] < two.ends[0] < 1 == two.ends[1]


def test_of_35_alike_the_best_holds_the_truth_and_is_seldom_said_to_be_better() -> None:
    """200 rows, all truly 0.80: the best shows 0.84, and an interval that knows of no choice holds 0.80 too seldom."""
    random = np.random.default_rng(3)
    label = np.repeat([0, 1], [120, 80])
    held, plain, alike = [], [], []
    for _ in range(120):
        noise = np.sqrt(0.5) * (random.normal(size=200) + random.normal(size=(35, 200)))
        statistics = [Auroc(label, score) for score in noise + np.sqrt(2) * norm.ppf(0.8) * label]
        draws = np.stack(replicates(np.arange(200), statistics, 200, int(random.integers(2**31))))
        areas = np.array([statistic(np.ones((1, 200)))[0] for statistic in statistics])
        chosen = best_of(areas, draws, [label])
        held.append(chosen.ends[0] <= 0.8 <= chosen.ends[1])
        ends = area_interval([areas.max()], draws[[chosen.which]], [label])
        plain.append(ends[0] <= 0.8 <= ends[1])
        alike.append(chosen.p)
    assert np.mean(held) >= 0.9 and np.mean(plain) < 0.8  # 0.925 and 0.66 with this seed
    assert np.mean(np.array(alike) < 0.05) <= 0.1
