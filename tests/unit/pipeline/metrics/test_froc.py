"""FROC against brute force, and which candidate finds which lesion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from marked_volumes import brute_force, cohort, volume

from pipeline.metrics.froc import FALSE, FOUND, NEITHER, Froc, outcomes
from pipeline.metrics.localisation import froc, nearest_distance, pointing


@pytest.mark.parametrize("seed", range(4))
def test_froc_equals_brute_force_with_ties(seed: int) -> None:
    volumes = cohort(15, seed)
    whole = froc([volumes], 10)
    assert whole(np.ones((1, 15)))[0] == pytest.approx(brute_force(volumes, 10), abs=1e-12)
    weight = np.random.default_rng(seed).integers(0, 3, (6, 15))
    for row, found in zip(weight, whole(weight.astype(float)), strict=True):
        repeated = [v for v, times in zip(volumes, row, strict=True) for _ in range(times)]
        assert found == pytest.approx(brute_force(repeated, 10), abs=1e-12)


def test_froc_does_not_depend_on_how_replicates_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes, weight = cohort(20), np.random.default_rng(0).integers(0, 3, (30, 20)).astype(float)
    expected = froc([volumes], 10)(weight)
    monkeypatch.setattr("pipeline.metrics.froc._BLOCK", 400)
    assert np.array_equal(froc([volumes], 10)(weight), expected)


def test_no_lesions_no_candidates_no_answer() -> None:
    healthy, silent = volume("A", [(1, 1, 1, .5)], []), volume("B", [], [(5, 5, 5)])
    assert np.isnan(froc([[healthy]], 10)(np.ones((1, 1)))).all()
    assert froc([[silent]], 10)(np.ones((1, 1)))[0].tolist() == [0] * 8
    assert pointing([[silent]], [50.0])(np.ones((1, 1)))[0, 0] == 0
    assert nearest_distance([[healthy, silent]])(np.ones((1, 2)))[0, 0] == math.inf
    assert np.isnan(nearest_distance([[healthy]])(np.ones((1, 1)))).all()
    with pytest.raises(ValueError, match="not a finite number"):
        Froc([[math.nan]], [[FALSE]], [0])


def test_one_candidate_finds_one_lesion_the_nearest() -> None:
    hits = np.array([[True, True], [True, False], [True, True], [False, False]])
    distances = np.array([[4.0, 3.0], [1.0, 9.0], [1.0, 1.0], [50.0, 50.0]])
    assert outcomes(hits, distances).tolist() == [FOUND, FOUND, NEITHER, FALSE]
    assert outcomes(hits[:, :0], distances[:, :0]).tolist() == [FALSE] * 4
