"""The screening cohort's plan: shares, labels and readers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.specs import ExamSpec, draw_cohort

DEMO = mammography.PRESETS["demo"]


@pytest.fixture(scope="module")
def large() -> list[ExamSpec]:
    return draw_cohort(1000, DEMO.shares, DEMO.diameters, seed=3)


def test_shares_and_labels(large: list[ExamSpec]) -> None:
    kinds = [spec.detection for spec in large]
    assert [kinds.count(kind) for kind in ("screen", "interval")] == [300, 70]
    for spec, later in itertools.pairwise(large):
        ill = [breast for breast in spec.breasts if breast.malignant]
        assert len(ill) == (spec.detection != "negative")
        shown = [any(f.malignant for f in breast.findings) for breast in ill]
        assert spec.detection != "screen" or shown == [True]
        if spec.patient_id == later.patient_id:
            assert spec.detection == "negative" and spec.density == later.density
    hidden = [s for s in large if s.detection == "interval" and not any(f.malignant for b in s.breasts
                                                                      for f in b.findings)]
    assert 30 <= len(hidden) <= 55  # 60 % of 70


def test_readers(large: list[ExamSpec]) -> None:
    """They find what the screening finds, miss interval cancers, err alike, and differ."""
    detection = np.array([spec.detection for spec in large for _ in spec.breasts])
    malignant = np.array([breast.malignant for spec in large for breast in spec.breasts])
    scores = np.array([breast.scores for spec in large for breast in spec.breasts])
    screening = detection != "interval"
    for reader in scores.T:
        assert 0.9 < roc_auc_score(malignant[screening], reader[screening]) < 0.99
        assert roc_auc_score(malignant, reader) < 0.93
    assert scores.min() == 1 and scores.max() == 5
    assert (scores[(detection == "interval") & (malignant == 1)] <= 2).mean() > 0.8
    assert 0.25 < np.corrcoef(scores[malignant == 0].T)[0, 1] < 0.7
