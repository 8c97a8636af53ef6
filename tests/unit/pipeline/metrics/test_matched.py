"""A model's sensitivity where it has no more false positives than a reader, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics import Matched, auroc


def test_sensitivity_at_a_readers_specificity() -> None:
    label = np.array([1, 1, 1, 0, 0, 0, 0])
    score = np.array([0.9, 0.6, 0.1, 0.8, 0.5, 0.2, 0.05])
    called = np.array([1, 0, 1, 1, 0, 0, 0])  # specificity 3/4: one false positive is allowed
    found = Matched(label, score, called)
    weight = np.array([[1.0] * 7, [1, 1, 1, 0, 1, 1, 1]])  # then without the false positive: none is allowed
    np.testing.assert_allclose(found(weight), [[2 / 3, 2 / 3], [2 / 3, 2 / 3]])
    assert auroc(label, score) == pytest.approx(8 / 12)
    assert np.isnan(found(np.array([[1.0, 1, 1, 0, 0, 0, 0]]))).all()  # no negative was drawn
