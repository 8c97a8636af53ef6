"""Calibration and Wilson's interval, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.metrics import calibration_error, reliability, wilson


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
