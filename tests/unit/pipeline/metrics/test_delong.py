"""DeLong's variance against its definition written out, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_samples import sample

from pipeline.metrics import auroc, delong_covariance, delong_test, delong_variance, z_test


def u_statistics(label: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's areas and covariance as defined: every pair of a positive and a negative is looked at."""
    kernel = np.array([[[float(x > y) + 0.5 * float(x == y) for y in row[label == 0]]
                        for x in row[label == 1]] for row in scores])  # (k, m, n)
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    (_, m, n), areas = kernel.shape, kernel.mean(axis=(1, 2))
    d10, d01 = v10 - areas[:, None], v01 - areas[:, None]
    return areas, d10 @ d10.T / (m - 1) / m + d01 @ d01.T / (n - 1) / n


def test_delong_equals_u_statistics() -> None:
    label, first = sample(90)
    scores = np.stack([first, sample(90, seed=1)[1] + label, first + 0.1 * sample(90, seed=2)[1]])
    areas, covariance = u_statistics(label, scores)
    found = delong_covariance(label, scores)
    assert found[0] == pytest.approx(areas, abs=1e-12)
    assert found[1] == pytest.approx(covariance, abs=1e-12)


def test_delong_by_hand() -> None:
    # Positives 3, 1 against negatives 2, 0: pairs 1, 1, 0, 1. V10 = 1, ½ and V01 = ½, 1, each of sample
    # variance 1/8, so that the variance is 1/16 + 1/16.
    assert delong_variance([1, 1, 0, 0], [3, 1, 2, 0]) == pytest.approx((0.75, 0.125))


def test_paired_delong_sees_that_scores_agree() -> None:
    label, score = sample(400, 3)
    assert delong_test(label, score, score) == (0.0, 0.0, 1.0)
    noisy = score + np.random.default_rng(5).normal(0, 0.5, 400)
    difference, variance, p = delong_test(label, score, noisy)
    unpaired = 2 * delong_variance(label, score)[1]
    assert difference == pytest.approx(auroc(label, score) - auroc(label, noisy))
    assert variance < unpaired / 2
    assert p == pytest.approx(z_test(difference, variance))


def test_z_test_at_known_quantile() -> None:
    assert z_test(1.959964, 1.0) == pytest.approx(0.05, abs=1e-6)
    assert math.isnan(z_test(0.1, 0.0))
