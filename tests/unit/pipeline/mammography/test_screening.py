"""Screening: training labels of §4.1, scores of §3.3 and §3.4, readers of §4.3."""

from __future__ import annotations

import math

import pytest

from pipeline.mammography.screening import (
    breast_score,
    ensemble,
    exam_probability,
    exam_row,
    exam_score,
    image_label,
    is_known,
    probability,
    reader_scores,
)


@pytest.mark.parametrize(("detection", "malignant", "exam", "label", "with_other"), [
    ("screen", 1, 1, 1, 1),  # the affected breast
    ("screen", 0, 1, None, 0),  # the other one
    ("screen", None, 1, None, None),
    ("interval", 1, 0, 0, 0),  # not found by this examination
    ("interval", 0, 0, 0, 0),
    ("negative", 0, 0, 0, 0),
    ("prior", 0, 0, 0, 0),
    ("prior", 1, 1, 1, 1),  # a list made so
    (None, 1, 1, 1, 1),  # the list does not say how: as found
    (None, 0, 1, None, 0),
    (None, 0, 0, 0, 0),
    (None, None, 0, None, None),
])
def test_labels_of_images(detection, malignant, exam, label, with_other) -> None:
    case = {"detection": detection, "malignant": malignant, "label": exam}
    assert image_label(case) == label
    assert image_label(case, "negative") == with_other


@pytest.mark.parametrize(("detection", "breasts", "known"), [
    (None, (0, 0), True), (None, (0, None), False), (None, (1, None), True), ("", (None, None), False),
    ("negative", (None, None), True), ("interval", (1, 0), True), ("screen", (None, None), False),
    ("screen", (1, None), True),
])
def test_whether_there_was_a_cancer_to_find_is_known(detection, breasts, known) -> None:
    assert is_known([{"detection": detection, "malignant": value} for value in breasts]) is known


def test_scores_of_breasts_and_exams() -> None:
    images = [("L", "CC", 1.0), ("L", "MLO", 0.5), ("R", "CC", 2.0), ("R", "MLO", -1.0)]
    assert exam_score(images) == (1.5, {"L": 1.5, "R": 1.0})
    assert breast_score([("MLO", 0.75)]) == 1.5  # the view that is missing counts as the other
    assert breast_score([("CC", 1.0), ("CC", 3.0), ("MLO", 0.5)]) == 2.5  # repeats are averaged
    assert ensemble(1.0, -2.0) == -0.5


def test_probability_keeps_the_order_of_large_scores() -> None:
    assert probability(0.0) == 0.5 and probability(math.log(3)) == pytest.approx(0.75)
    assert 0 < probability(-30.0) < probability(-29.9) < probability(29.9) < probability(30.0) < 1


def test_scores_of_exams_keep_their_order_where_networks_are_sure_of_themselves() -> None:
    scores = [-120.0, -60.0, 0.0, 40.0, 60.0, 70.0]  # of both views together
    found = [exam_probability(score) for score in scores]
    assert found == sorted(set(found)) and found[0] > 0 and found[-1] < 1 and found[2] == 0.5


def test_readers_of_an_exam() -> None:
    both = {"a": {"L": 2.0, "R": 3.0}, "b": {"L": 4.0, "R": 1.0}}
    assert reader_scores(both) == {"a": 3.0, "b": 4.0, "all": 6.0}  # sums 6 and 4
    assert reader_scores({"a": {"exam": 1.0}, "b": {"exam": 0.0}}) == {"a": 1.0, "b": 0.0}  # no sum of exams' scores
    assert reader_scores({"a": {"L": 2.0}}) == {"a": 2.0}
    assert reader_scores({"a": {"L": 2.0, "R": 1.0}, "b": {"R": 5.0}}) == {"a": 2.0}  # b has not read the exam


def test_a_row_keeps_what_each_reader_said_of_each_breast() -> None:
    """Pairs of several readers add up breasts, which the readers' own scores no longer tell."""
    case = {"exam_id": "E1", "patient_id": "P1", "split": "test", "label": 1, "groups": {},
            "readers": {"a": {"L": 2.0, "R": 3.0}, "b": {"exam": 1.0}}}
    row = exam_row(case, 0)
    assert {k: v for k, v in row.items() if k.startswith("reading_")} == {"reading_L_a": 2.0, "reading_R_a": 3.0}
    assert row["reader_b"] == 1.0
