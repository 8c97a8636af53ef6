"""Ensemble selection: against areas counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics import ensemble_selection


def test_two_that_err_on_different_cases_are_taken_once_each() -> None:
    """Alone each ranks 3 of 4 pairs; together all. The first of equals begins, the third never helps."""
    label = [1, 1, 0, 0]
    scores = [[0.9, 0.2, 0.3, 0.1], [0.2, 0.9, 0.1, 0.3], [0.1, 0.1, 0.9, 0.9]]
    found = ensemble_selection(label, scores)
    assert found.counts == [1, 1, 0] and found.area == 1.0
    assert found.path[:2] == [(0, 0.75), (1, 1.0)]


def test_the_best_alone_stays_alone_where_nothing_adds_to_it() -> None:
    found = ensemble_selection([1, 0, 0], [[0.2, 0.3, 0.1], [0.9, 0.3, 0.1], [0.9, 0.3, 0.1]])
    assert found.counts == [0, 1, 0] and found.area == 1.0


def test_a_model_is_taken_again_where_that_is_what_it_needs() -> None:
    """Of four pairs a ranks 2.5, b 2, a + b 2 and a + a + b 3: the step to a + a gains nothing and is needed."""
    label, a, b = [1, 1, 0, 0], [0.9, 0.7, 0.2, 0.9], [0.8, 0.0, 0.6, 0.3]
    found = ensemble_selection(label, [a, b], most=10)
    assert found.path[:3] == [(0, 0.625), (0, 0.625), (1, 0.75)]
    assert found.counts == [2, 1] and found.area == 0.75
    assert ensemble_selection(label, [a, b], most=2).counts == [1, 0]  # of equal ensembles the smallest


def test_sums_that_differ_in_their_order_alone_are_ties() -> None:
    """0.1 + 0.2 is more than 0.3 in binary; the rows tie, and a tie counts one half."""
    found = ensemble_selection([1, 0], [[0.1, 0.3], [0.2, 0.0]], most=2)
    assert found.path == [(1, 1.0), (1, 1.0)]


@pytest.mark.parametrize(("label", "scores"), [([1, 1], [[0.1, 0.2]]), ([1, 0], [[0.1, np.nan]])])
def test_what_cannot_be_ranked_is_refused(label, scores) -> None:
    with pytest.raises(ValueError, match=r"class|finite"):
        ensemble_selection(label, scores)
