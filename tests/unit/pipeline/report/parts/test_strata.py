"""Subgroups and localisation of a study made up here."""

from __future__ import annotations

from typing import Any

from written_study import PATIENTS


def test_subgroups_and_localisation(metrics: Any) -> None:
    assert list(metrics["subgroups"]["density"]) == ["a", "b", "c", "d"]
    assert sum(s["n"] for s in metrics["subgroups"]["density"].values()) == 4 * PATIENTS
    ages = list(metrics["subgroups"]["age"])
    assert len(ages) == 4
    assert ages[0].startswith("below") and ages[-1].endswith("and above")
    found = metrics["localisation"]["main"]
    assert found["hits"] == 10
    assert found["n"] == metrics["variants"]["main"]["malignant"]
    assert (found["median_distance_mm"], found["chance"]) == (7.5, 0.043)
