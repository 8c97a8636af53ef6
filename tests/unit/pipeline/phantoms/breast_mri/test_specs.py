"""The cohort's plan: shares, anatomy, lesions and readers."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_mri.specs import SPECTRUM_SHARES, draw_cohort


@pytest.fixture(scope="module")
def large():
    return draw_cohort(1000, seed=3)


def test_shares_are_exact(large):
    breasts = Counter((s.label(side, 1), s.label(side, 0)) for s in large for side in "LR")
    assert breasts[1, 0] + breasts[1, 1] == 808 and breasts[0, 1] == 400 and breasts[0, 0] == 792
    patients = Counter(s.patient_id for s in large)
    assert Counter(patients.values()) == {1: 904, 2: 48}  # 48 of 952: 5.04 %
    assert sorted(s.exam_id for s in large) == [f"E{i:04d}" for i in range(1, 1001)]
    densities = Counter({s.patient_id: s.anatomy.density for s in large}.values())
    assert [densities[d] for d in "abcd"] == [95, 381, 381, 95]  # of 952


def test_the_whole_spectrum_is_mostly_healthy():
    """As many malignant and benign breasts as the doubly deep paper's 2032 and 3066 of 17264, §2."""
    exams = draw_cohort(2000, seed=3, shares=SPECTRUM_SHARES)
    labels = np.array([[s.label(side, m) for m in (1, 0)] for s in exams for side in "LR"])
    assert np.allclose(labels.mean(axis=0), [2032 / 17264, 3066 / 17264], atol=0.01)
    assert (labels.sum(axis=1) == 0).mean() == pytest.approx(0.732, abs=1e-3)


@pytest.mark.parametrize("exams", [1, 2, 3, 7])
def test_small_cohorts_come_as_near_as_whole_numbers_allow(exams):
    malignant = sum(s.label(side, 1) for s in draw_cohort(exams) for side in "LR")
    assert abs(malignant - 0.808 * exams) < 1


def test_two_exams_of_a_patient_share_anatomy_and_nothing_else(large):
    exams = {}
    for spec in large:
        exams.setdefault(spec.patient, []).append(spec)
    first, second = next(pair for pair in exams.values() if len(pair) == 2)
    assert first.anatomy == second.anatomy
    assert first.midline_mm != second.midline_mm and first.lesions != second.lesions


def test_lesions_differ_in_kinetics_and_margin_only(large):
    lesions = {m: [lesion for s in large for lesion in s.lesions if lesion.malignant == m] for m in (0, 1)}
    midline = {id(lesion): s.midline_mm for s in large for lesion in s.lesions}
    for of in (
        lambda x: x.diameter_mm,
        lambda x: abs(x.center_mm[0] - midline[id(x)]),
        lambda x: x.center_mm[1],
        lambda x: x.center_mm[2],
    ):
        assert stats.ks_2samp([of(x) for x in lesions[0]], [of(x) for x in lesions[1]]).pvalue > 0.01
    numbers = {0: Counter(), 1: Counter()}  # of lesions in a breast that has any, by its label
    for s in large:
        for side in "LR":
            if count := sum(x.side == side for x in s.lesions):
                numbers[s.label(side, 1)][count] += 1
    table = [[numbers[m][n] for n in (1, 2, 3)] for m in (0, 1)]
    assert set(numbers[0] | numbers[1]) == {1, 2, 3} and stats.chi2_contingency(table).pvalue > 0.01
    for malignant, kinetics, spiculated in ((0, (0.65, 0.28, 0.07), 0.2), (1, (0.07, 0.28, 0.65), 0.7)):
        found = Counter(x.kinetics for x in lesions[malignant])
        total = len(lesions[malignant])
        shares = [found[k] / total for k in ("persistent", "plateau", "washout")]
        assert np.allclose(shares, kinetics, atol=0.05)
        assert abs(np.mean([x.margin == "spiculated" for x in lesions[malignant]]) - spiculated) < 0.05
    assert all(math.isclose(np.mean(curve), 1, abs_tol=1e-9) for curve in breast_mri.CURVES.values())
    assert abs(breast_mri.SLOPE.sum()) < 1e-9


def test_lesions_lie_apart_and_inside_the_breast(large):
    diameters = []
    for spec in large:
        for n, lesion in enumerate(spec.lesions):
            radius = lesion.diameter_mm / 2
            u = np.array(lesion.center_mm) - [spec.midline_mm, 0, 0]
            assert (u[0] > 0) == (lesion.side == "R")  # RAS: the right breast has the greater x
            # Spicules stay off the skin and the chest wall.
            assert spec.anatomy.breasts[lesion.side].depth(u) > 1.5 * radius + 4.9
            assert spec.anatomy.chest_depth(u) < -1.5 * radius - 1.9
            for other in spec.lesions[:n]:
                gap = math.dist(lesion.center_mm, other.center_mm)
                assert gap > 0.75 * (lesion.diameter_mm + other.diameter_mm)
            diameters.append(lesion.diameter_mm)
    assert min(diameters) >= 5 and 20 < max(diameters) <= 25
    assert np.median(diameters) < 12  # skewed to small


def test_readers_see_the_truth_through_noise(large):
    truth = [s.label(side, 1) for s in large for side in "LR"]
    scores = [s.readers[side] for s in large for side in "LR"]
    assert set(scores) == {1, 2, 3, 4, 5}
    assert roc_auc_score(truth, scores) == pytest.approx(0.93, abs=0.015)
