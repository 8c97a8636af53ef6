"""Official splits: held out as published; leaks counted, and mended where asked; ignored on request."""

from __future__ import annotations

from argparse import Namespace

import pytest

from data_lists.splits import official_folds, official_test
from pipeline.datalist import Datalist, Exam
from pipeline.verify.labels import fold_issues


def exams(patients: str) -> list[Exam]:
    return [Exam(f"E{k}", patient, {}, {"L": {"malignant": k % 2}}) for k, patient in enumerate(patients)]


def given(**options: object) -> Namespace:
    return Namespace(**{"official": True, "clean": False, "folds": 2, "seed": 0, **options})


def test_a_clean_split_is_held_out() -> None:
    own = exams("ABCDEFGH")
    folds, text = official_test(own, lambda exam: exam.exam_id in ("E6", "E7"), given())
    assert folds == {"count": 3, "seed": 0, "held_out": 2} and text == "official test part held out"
    assert [exam.held_out for exam in own] == [False] * 6 + [True] * 2


def test_patients_on_both_sides_are_counted_and_mended_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    def tested(exam: Exam) -> bool:
        return exam.exam_id in ("E6", "E7")

    leaky = exams("ABCDEFAB")
    folds, text = official_test(leaky, tested, given())
    assert "warning: 2 patients are on both sides" in capsys.readouterr().err and "2 of its patients" in text
    assert {issue.code for issue in fold_issues(Datalist("x", "MG", None, leaky, folds))} >= {"patient_in_two_folds"}
    clean = exams("ABCDEFAB")
    folds, _ = official_test(clean, tested, given(clean=True))
    assert [exam.held_out for exam in clean] == [True, True, *[False] * 4, True, True]
    assert not [i for i in fold_issues(Datalist("x", "MG", None, clean, folds)) if i.code == "patient_in_two_folds"]
    assert official_test(exams("ABCDEFAB"), tested, given(official=False)) == (
        {}, "folds of our own, the official split is ignored")


def test_official_folds_that_test_every_exam_once_are_kept() -> None:
    own = exams("ABCD")
    parts = {f"E{k}": {f: "test" if k % 2 == f else "val" if k >= 2 else "train" for f in (0, 1)} for k in range(4)}
    assert official_folds(own, parts, given())[0] == {"count": 2, "seed": 0}
    assert [exam.fold for exam in own] == [0, 1, 0, 1]
    assert [exam.validation_folds for exam in own] == [[], [], [1], [0]]


def test_a_fixed_test_part_is_held_out_and_the_validating_folds_test() -> None:
    own = exams("ABCDEF")
    parts = {f"E{k}": {f: "test" if k >= 4 else "val" if k % 2 == f else "train" for f in (0, 1)} for k in range(6)}
    folds, text = official_folds(own, parts, given())
    assert folds == {"count": 3, "seed": 0, "held_out": 2} and "held out" in text
    assert [(exam.fold, exam.held_out) for exam in own] == [(0, False), (1, False)] * 2 + [(2, True)] * 2


def test_folds_that_leave_exams_untested_are_not_taken_over() -> None:
    own = exams("ABCD")
    parts = {f"E{k}": {0: "train", 1: "val" if k else "train"} for k in range(4)}
    folds, text = official_folds(own, parts, given())
    assert folds == {} and "do not test every exam once" in text


def test_a_share_for_validation_is_of_what_the_official_test_part_leaves() -> None:
    own = exams("ABCDEFGHIJKLMNOPQRSTUVWX")
    folds, _ = official_test(own, lambda exam: int(exam.exam_id[1:]) >= 20, given(folds=5, validation=0.2))
    assert folds == {"count": 6, "seed": 0, "validation": 0.2, "held_out": 5}
    assert [sum(exam.split(fold) == "validation" for exam in own) for fold in range(5)] == [4] * 5
