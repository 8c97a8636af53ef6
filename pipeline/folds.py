"""Folds: patients stay together, strata are spread evenly, and the list stores what was drawn."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np

from pipeline.datalist import Exam
from pipeline.errors import InputError

_FINEST = 20  # parts that a share of validation is made of


def assign_folds(exams: Iterable[Exam], count: int = 5, seed: int = 0,
                 validation: float | None = None) -> dict[str, Any]:
    """Give every exam its fold, in place: patients stay together, strata are spread evenly.

    One of `count` parts is tested in each fold; of what remains, again one of `count` parts validates. With 5
    that is 64 % train, 16 % validation, 20 % test (the curriculum paper, §3.1). With a `validation` of 0.2 it is
    60, 20 and 20 % (the doubly deep paper, §2, whose one split is the first of these folds).

    Args:
        exams: the exams.
        count: number of folds; each class should have at least that many patients.
        seed: seed of the shuffling.
        validation: share of all these exams that validates in each fold; None: one of `count` parts of what remains.

    Returns:
        `{"count": count, "seed": seed}`, for the list's `folds`; with `validation` where it was given.

    Raises:
        InputError: fewer than two folds, too few patients for that many, or a share that leaves nothing to train on.
    """
    exams = list(exams)
    for fold, test in enumerate(_parts(exams, count, seed)):
        for exam in test:
            exam.fold = fold
    return assign_validation(exams, count, seed, validation)


def hold_out(exams: Iterable[Exam], share: float, count: int = 5, seed: int = 0,
             validation: float | None = None) -> dict[str, Any]:
    """Set patients aside for one last test, and give all others folds, in place (centre-point paper, table 1).

    Args:
        exams: the exams.
        share: of the patients, set aside; strata are spread evenly.
        count: folds of the cross-validation among the others; fold number `count` is the last test.
        seed: seed of the shuffling.
        validation: as of `assign_folds`, of those others.

    Returns:
        `{"count": count + 1, "seed": seed, "held_out": count}`, for the list's `folds`.

    Raises:
        InputError: a share that leaves no patient on one side, or as `assign_folds`.
    """
    exams = list(exams)
    if not 0 < share <= 0.5:
        raise InputError(f"--held-out {share}: give a share of the patients above 0 and up to 0.5")
    from sklearn.model_selection import train_test_split

    worst = _worst_strata(exams)
    rarest = min(Counter(worst.values()).values(), default=0)
    if share * len(worst) < 1:
        raise InputError(f"--held-out {share}: not even one of {len(worst)} patients; give a larger share")
    try:
        _, aside = train_test_split(list(worst), test_size=share, random_state=seed,
                                    stratify=list(worst.values()) if rarest > 1 else None)
    except ValueError:
        raise InputError(f"{len(worst)} patients are too few for --held-out {share}; add exams or leave it "
                         "out") from None
    return set_aside(exams, set(aside), count, seed, validation)


def set_aside(exams: Iterable[Exam], patients: Collection[str], count: int = 5, seed: int = 0,
              validation: float | None = None) -> dict[str, Any]:
    """Hold out the exams of given patients, as `hold_out`, for datasets that name their test set."""
    exams = list(exams)
    return set_aside_exams(exams, [exam for exam in exams if exam.patient_id in patients], count, seed, validation)


def set_aside_exams(exams: Iterable[Exam], aside: Iterable[Exam], count: int = 5, seed: int = 0,
                    validation: float | None = None) -> dict[str, Any]:
    """Hold out given exams, as `set_aside`, for splits that are not by patient."""
    exams = list(exams)
    for exam in aside:
        exam.fold, exam.held_out, exam.validation_folds = count, True, []
    folds = assign_folds([exam for exam in exams if not exam.held_out], count, seed, validation)
    return {**folds, "count": count + 1, "held_out": count}


def assign_validation(exams: Iterable[Exam], count: int, seed: int = 0,
                      validation: float | None = None) -> dict[str, Any]:
    """Choose the exams that validate in each fold, in place, where the folds of the test parts are given.

    Args:
        exams: the exams, each with its `fold`; one patient's exams share theirs.
        count: number of folds.
        seed: seed of the shuffling.
        validation: as of `assign_folds`.

    Returns:
        As `assign_folds`.

    Raises:
        InputError: as `assign_folds`.
    """
    exams = list(exams)
    for exam in exams:
        exam.validation_folds = []
    for fold in range(count):
        rest = [exam for exam in exams if exam.fold != fold]
        share = Fraction(1, count) if validation is None else _of_rest(validation, count, rest)
        for part in islice(_parts(rest, share.denominator, seed), share.numerator):
            for exam in part:
                exam.validation_folds.append(fold)
    return {"count": count, "seed": seed, **({} if validation is None else {"validation": validation})}


def _of_rest(validation: float, count: int, rest: list[Exam]) -> Fraction:
    """What a share of all is of those that a fold does not test, in as many parts as there can be of its patients."""
    most = 1 - 1 / count
    finest = max(2, min(_FINEST, len({exam.patient_id for exam in rest})))
    share = Fraction(validation / most).limit_denominator(finest) if 0 < validation < most else Fraction(0)
    if not 0 < share < 1:
        raise InputError(f"--validation {validation:g}: give a share of all exams above 0 and below {most:g}, that "
                         f"leaves some to train on in each of {count} folds")
    return share


def _worst_strata(exams: Iterable[Exam]) -> dict[str, int]:
    """Each patient's worst stratum over all of their exams."""
    worst: dict[str, int] = {}
    for exam in exams:
        worst[exam.patient_id] = max(worst.get(exam.patient_id, 0), exam.stratum())
    return worst


def _parts(exams: list[Exam], count: int, seed: int) -> Iterator[list[Exam]]:
    """`count` parts of the exams, grouped by patient and stratified by each patient's worst stratum."""
    from sklearn.model_selection import StratifiedGroupKFold  # slow to import, needed only here

    if count < 2:
        raise InputError(f"{count} folds cannot be made; --folds takes 2 or more")
    worst = _worst_strata(exams)
    if len(worst) < count:
        raise InputError(f"{len(worst)} patients are too few for {count} folds; add exams or lower --folds")
    patients = [exam.patient_id for exam in exams]
    # scikit-learn wants one class with a member a fold: small cohorts are stratified more coarsely, or not.
    for coarse in (lambda label: label, lambda label: label // 2, lambda label: 0):
        labels = [coarse(worst[patient]) for patient in patients]
        if max(Counter(labels).values()) >= count:
            break
    class Splitter(StratifiedGroupKFold):
        """scikit-learn's folds, with the best one for a patient sought among all at once: their sums are the same, and
        100,000 exams take a tenth of the time."""

        def _find_best_fold(self, y_counts_per_fold: Any, y_cnt: Any, group_y_counts: Any) -> int:
            return _best_fold(y_counts_per_fold, y_cnt, group_y_counts)

    splitter = Splitter(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class smaller than the folds: the converter's table shows it
        warnings.simplefilter("ignore", UserWarning)
        parts = [part for _, part in splitter.split(exams, labels, patients)]
    yield from ([exams[i] for i in part] for part in parts)


def _best_fold(so_far: np.ndarray, of_class: np.ndarray, more: np.ndarray) -> int:
    """The fold that classes are spread most evenly with, once it takes a group: of nearly equal ones the smallest.

    Args:
        so_far: exams of each class in each fold `(folds, classes)`.
        of_class: exams of each class `(classes,)`.
        more: those of the group `(classes,)`.
    """
    folds, classes = so_far.shape
    shares = (so_far + np.eye(folds)[:, :, None] * more) / of_class  # (fold that takes it, fold, class)
    shares -= np.add.reduce(shares, axis=1, keepdims=True) / folds
    spread = (np.add.reduce(np.sqrt(np.add.reduce(shares * shares, axis=1) / folds), axis=1) / classes).tolist()
    sizes = np.add.reduce(so_far, axis=1).tolist()
    best = 0
    for fold in range(1, folds):
        near = abs(spread[fold] - spread[best]) <= 1e-8 + 1e-5 * spread[best]  # as numpy.isclose
        if spread[fold] < spread[best] or (near and sizes[fold] < sizes[best]):
            best = fold
    return best
