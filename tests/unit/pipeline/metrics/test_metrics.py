"""Metrics against other implementations, definitions written out, and figures worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from pipeline.metrics import (
    Auroc,
    Shares,
    auroc,
    calibration_error,
    delong_covariance,
    delong_test,
    delong_variance,
    holm,
    interval,
    p_value,
    reliability,
    replicates,
    roc_band,
    roc_curve,
    sensitivity_at,
    sensitivity_threshold,
    specificity_threshold,
    wilson,
    youden_threshold,
    z_test,
)


def sample(n: int, decimals: int = 1, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels with 30 % malignant, and normal scores rounded so coarsely that many are equal."""
    random = np.random.default_rng(seed)
    label = (random.random(n) < 0.3).astype(int)
    return label, np.round(random.normal(shift * label), decimals)


def u_statistics(label: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's areas and covariance as defined: every pair of a positive and a negative is looked at."""
    kernel = np.array([[[float(x > y) + 0.5 * float(x == y) for y in row[label == 0]]
                        for x in row[label == 1]] for row in scores])  # (k, m, n)
    v10, v01 = kernel.mean(axis=2), kernel.mean(axis=1)
    (_, m, n), areas = kernel.shape, kernel.mean(axis=(1, 2))
    d10, d01 = v10 - areas[:, None], v01 - areas[:, None]
    return areas, d10 @ d10.T / (m - 1) / m + d01 @ d01.T / (n - 1) / n


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_auroc_equals_scikit_learn_with_ties(decimals: int) -> None:
    label, score = sample(300, decimals)
    expected = roc_auc_score(label, score)
    assert auroc(label, score) == pytest.approx(expected, abs=1e-12)
    assert Auroc(label, score)(np.ones((1, 300)))[0] == pytest.approx(expected, abs=1e-12)


def test_weighted_auroc_equals_scikit_learn_and_repeated_rows() -> None:
    label, score = sample(200)
    weight = np.random.default_rng(1).integers(0, 4, (5, 200))
    for row, area in zip(weight, Auroc(label, score)(weight.astype(float)), strict=True):
        assert area == pytest.approx(roc_auc_score(label, score, sample_weight=row), abs=1e-12)
        assert area == pytest.approx(auroc(np.repeat(label, row), np.repeat(score, row)), abs=1e-12)


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1]])
def test_one_class_is_undefined_never_perfect(label: list[int]) -> None:
    score = [0.1, 0.2, 0.3]
    assert math.isnan(auroc(label, score))
    assert math.isnan(youden_threshold(label, score))
    assert math.isnan(sensitivity_at(label, score, 0.9))
    assert math.isnan(delong_variance(label, score)[0])
    assert np.isnan(Auroc(label, score)(np.ones((2, 3)))).all()
    assert np.isnan(roc_band([roc_curve(label, score)])[1]).all()


@pytest.mark.parametrize(("label", "score"),
                         [([0, 1], [0.2, math.nan]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1])])
def test_scores_and_labels_that_mean_nothing_are_refused(label: list[int], score: list[float]) -> None:
    for function in (auroc, roc_curve, Auroc, reliability):
        with pytest.raises(ValueError, match=r"finite|neither|match"):
            function(label, score)


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


def test_bootstrap_agrees_with_delong_where_patients_have_one_row() -> None:
    label, score = sample(1500, 2)
    draws = replicates(np.arange(1500), [Auroc(label, score)], 2000)[0]
    assert draws.std() == pytest.approx(math.sqrt(delong_variance(label, score)[1]), rel=0.06)
    assert draws.mean() == pytest.approx(auroc(label, score), abs=0.002)
    low, high = interval(draws)
    assert high - low == pytest.approx(2 * 1.96 * draws.std(), rel=0.05)


def test_rows_copied_within_patients_add_nothing_to_the_clustered_bootstrap() -> None:
    label, score = sample(300)
    once = replicates(np.arange(300), [Auroc(label, score)], 500)[0]
    patient, label4, score4 = (np.repeat(x, 4) for x in (np.arange(300), label, score))
    clustered = replicates(patient, [Auroc(label4, score4)], 500)[0]
    by_row = replicates(np.arange(1200), [Auroc(label4, score4)], 500)[0]
    assert clustered == pytest.approx(once)
    assert clustered.std() == pytest.approx(2 * by_row.std(), rel=0.15)


def test_replicates_do_not_depend_on_how_they_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    label, score = sample(100)
    whole = replicates(np.arange(100) // 2, [Auroc(label, score)], 50, seed=3)[0]
    monkeypatch.setattr("pipeline.metrics.bootstrap._CHUNK", 700)
    assert np.array_equal(replicates(np.arange(100) // 2, [Auroc(label, score)], 50, seed=3)[0], whole)


def test_shares_are_weighted_means() -> None:
    value = np.array([[1, 1], [0, 0], [1, 0], [0, 1]])
    where = np.array([[1, 1], [1, 0], [1, 0], [1, 1]])
    found = Shares(value, where)(np.array([[1.0, 1, 1, 1], [2, 0, 1, 1], [0, 1, 1, 0]]))
    assert found == pytest.approx(np.array([[0.5, 1.0], [0.75, 1.0], [0.5, np.nan]]), nan_ok=True)


def test_interval_and_p_are_refused_where_many_replicates_lack_a_class() -> None:
    values = np.r_[np.linspace(0, 1, 89), np.full(11, np.nan)]
    assert np.isnan(interval(values)).all()
    assert math.isnan(p_value(values))
    assert interval(np.linspace(0, 1, 101)) == pytest.approx((0.025, 0.975))


def test_bootstrap_p_by_hand() -> None:
    assert p_value([1.0] * 99) == pytest.approx(2 / 100)
    assert p_value([1.0] * 97 + [-1.0] * 2) == pytest.approx(2 * 3 / 100)
    assert p_value([-1.0, 1.0]) == 1.0


def test_holm_by_hand() -> None:
    # 0.01 × 4; 0.02 × 3; 0.03 × 2 is raised to the one before; 0.5 × 1
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([math.nan, 0.04]) == pytest.approx([math.nan, 0.04], nan_ok=True)
    assert holm([]) == []


def test_youden_by_hand() -> None:
    label, score = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    # J at 0.3: 1 − 1/3; at 0.5: 2/3 − 0: both 2/3, and the lower is taken.
    assert youden_threshold(label, score) == 0.3
    assert youden_threshold([0, 0, 0, 1, 0, 1], score) == 0.4


def test_thresholds_at_targets_by_hand() -> None:
    label, score = [0, 0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.25, 0.5, 0.6, 0.9]
    assert specificity_threshold(label, score, 0.75) == 0.5  # negatives at or above: 0.7 alone
    assert specificity_threshold(label, score, 0.90) == 0.9
    assert sensitivity_threshold(label, score, 0.75) == 0.5
    assert sensitivity_threshold(label, score, 0.90) == 0.25
    assert sensitivity_at(label, score, 0.75) == 0.75
    assert sensitivity_at(label, score, 1.0) == 0.25
    assert specificity_threshold([1, 0], [0.2, 0.9], 0.95) > 0.9  # nothing is positive


def test_thresholds_equal_brute_force() -> None:
    label, score = sample(150)
    positive, negative = score[label == 1], score[label == 0]
    for target in (0.9, 0.95):
        enough = [t for t in np.unique(score) if (negative < t).mean() >= target]
        assert specificity_threshold(label, score, target) == min(enough)
        enough = [t for t in np.unique(score) if (positive >= t).mean() >= target]
        assert sensitivity_threshold(label, score, target) == max(enough)


def test_band_of_a_perfect_and_a_useless_fold() -> None:
    perfect, useless = roc_curve([0, 1], [0, 1]), roc_curve([0, 1], [0, 0])
    rate, mean, sd = roc_band([perfect, useless], points=3)
    assert rate.tolist() == [0, 0.5, 1]
    assert mean.tolist() == [0.5, 0.75, 1]
    assert sd == pytest.approx([math.sqrt(0.5), math.sqrt(0.125), 0])


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415, half width 0.22667
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(10, 10)[1] == 1
    assert np.isnan(wilson(0, 0)).all()


def test_reliability_by_hand() -> None:
    label, score = [0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.4, 0.4, 0.8, 0.9]
    bins = reliability(label, score, bins=3)
    assert [(b["n"], b["malignant"]) for b in bins] == [(2, 0), (2, 1), (2, 2)]
    assert [b["score"] for b in bins] == pytest.approx([0.1, 0.4, 0.85])
    assert calibration_error(bins) == pytest.approx((0.1 + 0.1 + 0.15) / 3)
    assert math.isnan(calibration_error([]))


def test_equal_scores_share_a_bin() -> None:
    bins = reliability([0, 1] * 50, [0.5] * 100)
    assert [b["n"] for b in bins] == [100]
    assert calibration_error(bins) == 0


def test_brier_as_a_share_equals_scikit_learn() -> None:
    label, score = sample(80)
    score = np.clip(score / 3 + 0.5, 0, 1)
    found = Shares(((score - label) ** 2)[:, None], np.ones((80, 1)))(np.ones((1, 80)))[0, 0]
    assert found == pytest.approx(brier_score_loss(label, score))


def test_roc_curve_counts_every_distinct_score() -> None:
    curve = roc_curve([1, 0, 1, 0], [0.9, 0.9, 0.2, 0.1])
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.2, 0.1]
    assert curve.true_positives.tolist() == [0, 1, 2, 2]
    assert curve.false_positives.tolist() == [0, 1, 1, 2]
