"""What converters of mammograms share: repeats by number, and labels that are 0 only where all is known."""

from __future__ import annotations

from collections import Counter

import pytest

from data_lists.breasts import add_view, in_order, label
from pipeline.datalist import Exam


def test_repeats_are_numbered_and_a_tenth_is_left_out() -> None:
    exam, left_out = Exam("E", "P", {}, {}), Counter[str]()
    names = [add_view(exam, "L", "CC", f"{k}.dcm", left_out) for k in range(10)]
    assert names == ["L-CC", *[f"L-CC-{k}" for k in range(2, 10)], None]
    assert left_out == {"images beyond 9 of one view": 1} and exam.images["L-CC-3"] == "2.dcm"


@pytest.mark.parametrize(("malignant", "benign", "expected"), [
    ([0, 1], [1, 0], (1, 1)), ([0, None], [0, 1], (None, 1)), ([1, None], [None], (1, None)), ([0, 0], [0], (0, 0)),
    ([], [], (None, None))])
def test_a_breast_is_its_worst_finding(malignant: list[int | None], benign: list[int | None],
                                       expected: tuple[int | None, int | None]) -> None:
    assert tuple(label(malignant, benign).values()) == expected


def test_views_and_breasts_in_one_order() -> None:
    exam = in_order(Exam("E", "P", {"R-CC": "a", "L-MLO": "b"}, {"R": {}, "L": {}}))
    assert list(exam.images) == ["L-MLO", "R-CC"] and list(exam.breasts) == ["L", "R"]
