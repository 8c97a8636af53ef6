"""The ultrasound cohort's plan: patients, lesions and their differences."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from pipeline.phantoms.breast_ultrasound import exams as ultrasound
from pipeline.phantoms.breast_ultrasound.specs import DIAMETERS, draw_cohort

DEMO = ultrasound.PRESETS["demo"]


@pytest.fixture(scope="module")
def large():
    return draw_cohort(1000, DEMO.field, seed=3)


def test_patients_have_one_or_two_volumes_and_are_healthy_or_diseased(large):
    patients = Counter(s.patient_id for s in large)
    assert Counter(patients.values()) == {1: 112, 2: 444}  # 444 of 556: 80 %
    assert sorted(s.exam_id for s in large) == [f"E{i:04d}" for i in range(1, 1001)]
    assert 0.35 < np.mean([bool(s.lesions) for s in large]) < 0.42  # the paper: 348 of 904 volumes
    diseased = {s.patient_id for s in large if s.lesions}
    assert len(diseased) == pytest.approx(0.55 * 556, abs=3)  # the paper: 255 of 457 patients
    for first, second in itertools.pairwise(large):
        if first.patient_id == second.patient_id:
            assert {first.side, second.side} == {"L", "R"} and first.layers == second.layers


def test_lesions_lie_in_the_breast_and_differ_by_margin_and_what_is_behind(large):
    lesions = [(s, lesion) for s in large for lesion in s.lesions]
    for spec, lesion in lesions:
        u, d, s = lesion.place
        reach = lesion.diameter_mm / 2
        _, _, chest = spec.layers.depths(np.array(u), np.array(s), spec.nipple)
        assert spec.layers.skin + reach < d < chest - reach
        assert np.hypot(u - spec.nipple[0], s - spec.nipple[1]) > reach + 6.9
        assert DIAMETERS[0] <= lesion.diameter_mm <= DIAMETERS[1]
    kinds = {m: [lesion for _, lesion in lesions if lesion.malignant == m] for m in (0, 1)}
    assert 0.4 < len(kinds[1]) / len(lesions) < 0.6
    for of in (lambda x: x.diameter_mm, lambda x: x.place[1], lambda x: x.echo_db):
        assert stats.ks_2samp([of(x) for x in kinds[0]], [of(x) for x in kinds[1]]).pvalue > 0.01
    for malignant, irregular, shadow in ((0, 0.2, 0.15), (1, 0.75, 0.65)):
        found = kinds[malignant]
        assert np.mean([x.margin == "irregular" for x in found]) == pytest.approx(irregular, abs=0.1)
        assert np.mean([x.posterior == "shadow" for x in found]) == pytest.approx(shadow, abs=0.1)
