"""Folds: grouped by patient, stratified, the same for a seed, and what is held out stays out."""

from __future__ import annotations

import cProfile
import warnings
from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from pipeline.datalist import SPLITS, Exam, InputError
from pipeline.folds import _parts, assign_folds, assign_validation, hold_out


def breasts(worst: int) -> dict[str, dict[str, int | None]]:
    """Breasts of an exam whose worst label is malignant (2), benign (1) or none (0)."""
    return {"L": {"malignant": 0, "benign": 0},
            "R": {"malignant": int(worst == 2), "benign": int(worst == 1)}}


def cohort(size: int = 100, shared: int = 10) -> list[Exam]:
    """30 % malignant and 20 % benign exams; the last `shared` are second exams of the first patients."""
    kinds = [2] * 3 + [1] * 2 + [0] * 5
    owners = [*range(size - shared), *range(shared)]
    return [Exam(f"E{i}", f"P{owner}", {"pre": f"{i}.nii"}, breasts(kinds[i % 10]))
            for i, owner in enumerate(owners)]


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_folds_64_16_20_grouped_and_stratified(seed: int) -> None:
    exams = cohort()
    assert assign_folds(exams, 5, seed) == {"count": 5, "seed": seed}
    for fold in range(5):
        parts = {name: [exam for exam in exams if exam.split(fold) == name] for name in SPLITS}
        # Of 100 exams; whole patients move, so that a part can miss its share by a few exams.
        for name, share in (("train", 64), ("validation", 16), ("test", 20)):
            assert abs(len(parts[name]) - share) <= 3, (fold, name)
            malignant = np.mean([exam.worst_label() == 2 for exam in parts[name]])
            assert abs(malignant - 0.30) <= 0.08, (fold, name)
        patients = [{exam.patient_id for exam in part} for part in parts.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)), "a patient is in two parts"


def test_interval_cancers_are_spread_over_the_folds() -> None:
    exams = [Exam(f"E{i}", f"P{i}", {}, breasts(2 if i < 40 else 0), groups={"detection": kind}) for i, kind in
             enumerate(["screen"] * 30 + ["interval"] * 10 + ["negative"] * 160)]
    assign_folds(exams, 10)
    for kind, count in (("screen", 3), ("interval", 1), ("negative", 16)):
        folds = Counter(exam.fold for exam in exams if exam.groups["detection"] == kind)
        assert folds == dict.fromkeys(range(10), count)


def test_every_exam_is_tested_exactly_once() -> None:
    exams = cohort()
    assign_folds(exams)
    tested = Counter(exam.exam_id for fold in range(5) for exam in exams if exam.split(fold) == "test")
    assert tested == Counter({exam.exam_id: 1 for exam in exams})


def test_no_exam_validates_where_it_is_tested() -> None:
    exams = cohort()
    assign_folds(exams)
    assert not any(exam.fold in exam.validation_folds for exam in exams)


def test_folds_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    drawn = []
    for seed in (3, 3, 4):
        exams = cohort()
        assign_folds(exams, 5, seed)
        drawn.append([(exam.fold, exam.validation_folds) for exam in exams])
    assert drawn[0] == drawn[1] != drawn[2]


def test_patients_are_stratified_by_their_worst_exam() -> None:
    # 10 patients with a malignant and a healthy exam each, 10 healthy ones with two: one class a patient.
    exams = [Exam(f"E{i}", f"P{i // 2}", {}, breasts(2 if i < 20 and i % 2 else 0)) for i in range(40)]
    assign_folds(exams, 5)
    for fold in range(5):
        assert len({exam.patient_id for exam in exams[:20] if exam.fold == fold}) == 2


def test_a_held_out_test_set_stays_out_of_every_other_fold() -> None:
    exams = cohort()
    folds = hold_out(exams, 0.25, 4)
    assert folds == {"count": 5, "seed": 0, "held_out": 4}
    aside = [exam for exam in exams if exam.held_out]
    patients = {exam.patient_id for exam in exams}
    assert abs(len({exam.patient_id for exam in aside}) - len(patients) / 4) <= 1
    assert not {e.patient_id for e in aside} & {e.patient_id for e in exams if not e.held_out}
    assert abs(np.mean([e.worst_label() == 2 for e in aside]) - 0.30) <= 0.08
    for fold in range(4):
        assert {exam.split(fold) for exam in aside} == {"held_out"}
        assert {exam.split(fold) for exam in exams if not exam.held_out} == set(SPLITS)
    # The last fold trains on all that the others share out.
    assert {e.split(4) for e in aside} == {"test"} and {e.split(4) for e in exams if not e.held_out} == {"train"}
    for share in (0, 0.7):
        with pytest.raises(InputError, match="held-out"):
            hold_out(cohort(), share)


def test_given_test_folds_stay() -> None:
    exams = cohort(shared=0)
    for i, exam in enumerate(exams):
        exam.fold = i % 4
    assert assign_validation(exams, 4) == {"count": 4, "seed": 0}
    assert [exam.fold for exam in exams] == [i % 4 for i in range(100)]
    for fold in range(4):
        # A quarter is tested; a quarter of the other 75 validates.
        assert 17 <= sum(exam.split(fold) == "validation" for exam in exams) <= 20


@pytest.mark.parametrize(("size", "count"), [(3, 5), (5, 5), (10, 1), (10, 0)])
def test_too_few_patients_is_an_input_error(size: int, count: int) -> None:
    with pytest.raises(InputError, match="folds"):
        assign_folds(cohort(size, 0), count)


@pytest.mark.parametrize("size", [7, 8, 10, 12, 15])
def test_small_cohorts_have_no_empty_part(size: int) -> None:
    exams = cohort(size, 0)
    assign_folds(exams, 5)
    for fold in range(5):
        assert {exam.split(fold) for exam in exams} == set(SPLITS)


@pytest.mark.parametrize(("count", "validation", "wanted"), [(5, 0.2, (60, 20, 20)), (5, 0.1, (70, 10, 20)),
                                                             (4, 0.15, (60, 15, 25))])
def test_a_share_of_all_validates_where_it_is_given(count, validation, wanted) -> None:
    exams = cohort()
    assert assign_folds(exams, count, 3, validation) == {"count": count, "seed": 3, "validation": validation}
    for fold in range(count):
        parts = {name: [exam for exam in exams if exam.split(fold) == name] for name in SPLITS}
        for name, share in zip(SPLITS, wanted, strict=True):
            assert abs(len(parts[name]) - share) <= 3, (fold, name)
            assert abs(np.mean([exam.worst_label() == 2 for exam in parts[name]]) - 0.30) <= 0.08
        patients = [{exam.patient_id for exam in part} for part in parts.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)), "a patient is in two parts"


def test_the_share_changes_no_test_part_and_the_default_share_nothing_at_all() -> None:
    drawn = []
    for validation in (None, 0.16, 0.2):  # 0.16 of all is a fifth of the four fifths that remain
        exams = cohort()
        assign_folds(exams, 5, 1, validation)
        drawn.append([(exam.fold, exam.validation_folds) for exam in exams])
    assert drawn[0] == drawn[1] != drawn[2]
    assert [fold for fold, _ in drawn[0]] == [fold for fold, _ in drawn[2]]


def test_the_share_is_of_those_that_are_not_held_out() -> None:
    exams = cohort()
    assert hold_out(exams, 0.2, 5, validation=0.2) == {"count": 6, "seed": 0, "validation": 0.2, "held_out": 5}
    rest = [exam for exam in exams if not exam.held_out]
    assert all(abs(sum(e.split(f) == "validation" for e in rest) - len(rest) / 5) <= 3 for f in range(5))


@pytest.mark.parametrize(("validation", "size"), [(0.0, 100), (-0.2, 100), (0.8, 100), (1.5, 100), (float("nan"), 100),
                                                  (0.001, 100), (0.02, 10)])
def test_a_share_that_leaves_a_part_empty_is_an_input_error(validation, size) -> None:
    with pytest.raises(InputError, match=r"--validation .*: give a share of all exams above 0 and below 0\.8"):
        assign_folds(cohort(size, 0), 5, 0, validation)


@pytest.mark.parametrize("seed", range(12))
def test_parts_are_scikit_learns(seed: int) -> None:
    """Exam by exam, for cohorts of any shape: the search for each patient's fold alone is ours."""
    random = np.random.default_rng(seed)
    size, count = int(random.integers(60, 300)), int(random.integers(2, 9))
    labels = random.choice(3, size, p=[0.6, 0.3, 0.1])
    exams = [Exam(f"E{i}", f"P{random.integers(size * 2 // 3)}", {}, breasts(int(labels[i]))) for i in range(size)]
    worst: dict[str, int] = {}
    for exam in exams:
        worst[exam.patient_id] = max(worst.get(exam.patient_id, 0), exam.worst_label())
    patients = [exam.patient_id for exam in exams]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        wanted = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(
            exams, [worst[patient] for patient in patients], patients)
    assert [[exam.exam_id for exam in part] for part in _parts(exams, count, seed)] == [
        [exams[i].exam_id for i in part] for _, part in wanted]


def test_a_patient_costs_few_calls() -> None:
    """scikit-learn tries each fold of each patient with a dozen of numpy's functions: minutes for 100,000 exams."""
    calls = []
    for size in (200, 400):
        profile = cProfile.Profile()
        profile.runcall(lambda exams: list(_parts(exams, 5, 0)), cohort(size, 0))
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[1] - calls[0] < 200 * 60  # 350 a patient before
