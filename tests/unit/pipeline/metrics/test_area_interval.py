"""Intervals of an AUROC: by hand, and how often they hold the truth near 1 and with patients of several rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.metrics import Auroc, area_interval, interval, replicates, score_ends


def test_on_the_logit_by_hand() -> None:
    draws = 0.8 + 0.05 * np.array([[-1.0, 1.0] * 50])  # standard deviation 0.05
    half = 1.959964 * 0.05 / (0.8 * 0.2)
    expected = [1 / (1 + math.exp(-(math.log(4) + sign * half))) for sign in (-1, 1)]
    assert area_interval([0.8], draws, [[0, 1]]) == pytest.approx(expected, abs=1e-6)
    both = np.concatenate([draws, draws[:, ::-1]])  # the folds' errors take each other away
    assert area_interval([0.8, 0.8], both, [[0, 1]] * 2) == pytest.approx((0.8, 0.8))


@pytest.mark.parametrize("sizes", [[(12, 18)], [(5, 5), (9, 11)]])
def test_separated_classes_have_the_interval_of_newcombe(sizes) -> None:
    """Its lower end is where 1 is z standard errors away, by Hanley and McNeil's variance at that end."""
    labels = [np.repeat([1, 0], size) for size in sizes]
    low, high = area_interval([1.0] * len(sizes), np.ones((len(sizes), 100)), labels)
    variance = 0.0
    for m, n in sizes:
        q1, q2, star = low / (2 - low), 2 * low**2 / (1 + low), (m + n) / 2
        variance += (low * (1 - low) + (star - 1) * (q1 - low**2) + (star - 1) * (q2 - low**2)) / (m * n)
    assert high == 1 and 1 - low == pytest.approx(1.959964 * math.sqrt(variance) / len(sizes), abs=1e-6)
    assert area_interval([0.0] * len(sizes), np.zeros((len(sizes), 100)), labels)[0] == 0


def test_an_interval_away_from_the_ends_lies_on_both_sides() -> None:
    low, high = score_ends(0.9, [(20, 30)])
    assert 0.7 < low < 0.9 < high < 1 and 0.9 - low > high - 0.9


def test_no_interval_where_classes_are_missing() -> None:
    assert np.isnan(area_interval([0.9], [[0.9, np.nan] * 50], [[0, 1]])).all()


@pytest.mark.parametrize(("area", "rows_a_patient"), [(0.97, 1), (0.97, 2), (0.85, 2)])
def test_truth_is_held(area, rows_a_patient) -> None:
    """40 rows, 40 % positive; with two rows a patient they share the label and half of the score's variance."""
    random = np.random.default_rng(5)
    patient = np.arange(40) // rows_a_patient
    held, percentile = [], []
    for _ in range(300):
        label = np.isin(patient, random.choice(patient[-1] + 1, round(0.4 * (patient[-1] + 1)), False)).astype(int)
        own, shared = random.normal(size=40), random.normal(size=40)[patient]
        noise = own if rows_a_patient == 1 else math.sqrt(0.5) * (own + shared)
        score = noise + math.sqrt(2) * norm.ppf(area) * label
        statistic = Auroc(label, score)
        draws = replicates(patient, [statistic], 300, int(random.integers(2**31)))[0]
        ends = area_interval(statistic(np.ones((1, 40))), [draws], [label])
        held.append(ends[0] <= area <= ends[1])
        ends = interval(draws)
        percentile.append(ends[0] <= area <= ends[1])
    assert 0.92 <= np.mean(held) <= 0.99  # of 300: a standard error of 0.013
    assert np.mean(held) - np.mean(percentile) > 0.02
