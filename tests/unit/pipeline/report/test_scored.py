"""Thresholds and rates of every fold, worked out again from the tables, and a fold without one of the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.report.scored import RULES, rate_columns, thresholds


def test_thresholds_come_from_validation_alone(finished: Path, metrics: Any) -> None:
    found = metrics["variants"]["main"]
    for fold, threshold in enumerate(found["threshold"]):
        table = pd.read_csv(finished / "main" / f"fold{fold}" / "predictions.csv")
        validation, test = table.query("split == 'validation'"), table.query("split == 'test'")
        positive, negative = (validation["score"][validation["label"] == c] for c in (1, 0))
        gains = {t: (positive >= t).mean() + (negative < t).mean() for t in validation["score"]}
        assert gains[threshold] == pytest.approx(max(gains.values()))
        called = test["score"] >= threshold
        expected = {"accuracy": called == test["label"], "sensitivity": called[test["label"] == 1],
                    "accuracy_at_0.5": (test["score"] >= 0.5) == test["label"]}
        for name, right in expected.items():
            assert found[name]["per_fold"][fold] == pytest.approx(right.mean(), abs=1e-5)


def test_without_a_class_there_is_no_threshold_and_no_rate() -> None:
    chosen = thresholds(pd.DataFrame({"label": [0, 0], "score": [0.2, 0.4]}))
    assert list(chosen) == list(RULES)
    assert chosen["0.5"] == 0.5 and np.isnan(chosen["youden"])
    rates = rate_columns(np.array([0, 1]), np.array([0.2, 0.7]), [0.5, np.nan])(np.ones((1, 2)))[0]
    assert rates[:3] == pytest.approx([1, 1, 1]) and np.isnan(rates[3:6]).all()
    assert rates[6] == pytest.approx((0.2**2 + 0.3**2) / 2)
