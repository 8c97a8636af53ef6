"""The ROC curve and its thresholds against scikit-learn, brute force, and figures worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_samples import sample
from sklearn.metrics import roc_auc_score

from pipeline.metrics import (
    Auroc,
    auroc,
    delong_variance,
    reliability,
    roc_band,
    roc_curve,
    sensitivity_threshold,
    specificity_threshold,
    youden_threshold,
)


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_auroc_equals_scikit_learn_with_ties(decimals: int) -> None:
    label, score = sample(300, decimals)
    expected = roc_auc_score(label, score)
    assert auroc(label, score) == pytest.approx(expected, abs=1e-12)
    assert Auroc(label, score)(np.ones((1, 300)))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1]])
def test_one_class_is_undefined_never_perfect(label: list[int]) -> None:
    score = [0.1, 0.2, 0.3]
    assert math.isnan(auroc(label, score))
    assert math.isnan(youden_threshold(label, score))
    assert math.isnan(delong_variance(label, score)[0])
    assert np.isnan(Auroc(label, score)(np.ones((2, 3)))).all()
    assert np.isnan(roc_band([roc_curve(label, score)])[1]).all()


@pytest.mark.parametrize(("label", "score"),
                         [([0, 1], [0.2, math.nan]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1])])
def test_scores_and_labels_that_mean_nothing_are_refused(label: list[int], score: list[float]) -> None:
    for function in (auroc, roc_curve, Auroc, reliability):
        with pytest.raises(ValueError, match=r"finite|neither|match"):
            function(label, score)


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


def test_roc_curve_counts_every_distinct_score() -> None:
    curve = roc_curve([1, 0, 1, 0], [0.9, 0.9, 0.2, 0.1])
    assert curve.threshold.tolist() == [math.inf, 0.9, 0.2, 0.1]
    assert curve.true_positives.tolist() == [0, 1, 2, 2]
    assert curve.false_positives.tolist() == [0, 1, 1, 2]
