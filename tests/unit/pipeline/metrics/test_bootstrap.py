"""The bootstrap of patients against DeLong, scikit-learn with weights, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from metric_samples import sample
from sklearn.metrics import brier_score_loss, roc_auc_score

from pipeline.metrics import Auroc, Medians, Shares, auroc, delong_variance, holm, interval, p_value, replicates


def test_weighted_auroc_equals_scikit_learn_and_repeated_rows() -> None:
    label, score = sample(200)
    weight = np.random.default_rng(1).integers(0, 4, (5, 200))
    for row, area in zip(weight, Auroc(label, score)(weight.astype(float)), strict=True):
        assert area == pytest.approx(roc_auc_score(label, score, sample_weight=row), abs=1e-12)
        assert area == pytest.approx(auroc(np.repeat(label, row), np.repeat(score, row)), abs=1e-12)


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


def test_brier_as_a_share_equals_scikit_learn() -> None:
    label, score = sample(80)
    score = np.clip(score / 3 + 0.5, 0, 1)
    found = Shares(((score - label) ** 2)[:, None], np.ones((80, 1)))(np.ones((1, 80)))[0, 0]
    assert found == pytest.approx(brier_score_loss(label, score))


def test_medians_are_those_of_repeated_values() -> None:
    random = np.random.default_rng(1)
    value, row = np.round(random.random(40), 1), random.integers(0, 12, 40)
    weight = random.integers(0, 3, (20, 12))
    found = Medians(value, row)(weight.astype(float))[:, 0]
    assert found == pytest.approx([np.median(np.repeat(value, w[row])) for w in weight])
    assert np.isnan(Medians([1.0], [0])(np.array([[0.0, 1.0]]))).all()
