"""Checks of what a datalist says: labels, lesions, and folds. No image is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from pipeline.datalist import APART, DETECTIONS, NEGATIVE, SCREEN, SIDES, Datalist, Exam, is_healthy
from pipeline.verify.codes import Issue, issue


def label_issues(datalist: Datalist) -> Iterable[Issue]:
    """Labels of breasts and lesions, and whether they agree."""
    marked = any(exam.points() for exam in datalist.exams)
    for exam in datalist.exams:
        yield from _breasts(exam)
        yield from _lesions(exam)
        if marked:
            yield from _unmarked(exam)
        if datalist.modality == "MG":
            yield from _detection(exam)
    malignant = sum(exam.worst_label() == 2 for exam in datalist.exams)
    if not marked and malignant and datalist.modality != "MG":
        yield issue("malignant_without_lesion", what=f"{malignant} exams are malignant, none has a centre")


def _breasts(exam: Exam) -> Iterable[Issue]:
    if not exam.breasts:
        yield issue("label_missing", exam.exam_id, what="the exam has no breast")
    for side, breast in exam.breasts.items():
        if side not in SIDES:
            yield issue("side_unknown", exam.exam_id, what="breast")
            continue
        for name, value in breast.items():
            if not _binary(value):
                yield issue("label_not_binary", exam.exam_id, what=f"`{name}` of breast {side}")
        if breast.get("malignant") is None:
            yield issue("label_missing", exam.exam_id, what=f"breast {side}: `malignant` is unknown")


def _detection(exam: Exam) -> Iterable[Issue]:
    value = exam.groups.get("detection", "")
    malignant = any(breast.get("malignant") == 1 for breast in exam.breasts.values())
    if value and value not in DETECTIONS:
        yield issue("detection", exam.exam_id, what=f"detection {value[:20]!r} is none of {', '.join(DETECTIONS)}")
    elif value == NEGATIVE and malignant:
        yield issue("detection", exam.exam_id, what="detection is negative, but a breast is malignant")
    elif value == SCREEN and not malignant:
        yield issue("detection", exam.exam_id, what="detection is screen, but no breast is malignant")


def _lesions(exam: Exam) -> Iterable[Issue]:
    for lesion in exam.lesions:
        if not _binary(lesion.malignant):
            yield issue("label_not_binary", exam.exam_id, what=f"`malignant` of lesion {lesion.lesion_id}")
        if lesion.side not in SIDES:
            yield issue("side_unknown", exam.exam_id, what="lesion")
        elif lesion.side not in exam.breasts:
            yield issue("lesion_without_breast", exam.exam_id, lesion=lesion.lesion_id, side=lesion.side)
        elif lesion.malignant == 1 and exam.breasts[lesion.side].get("malignant") == 0:
            yield issue("lesion_label_contradicts", exam.exam_id, lesion=lesion.lesion_id, side=lesion.side)
        elif is_healthy(exam.breasts[lesion.side]):
            yield issue("healthy_with_lesion", exam.exam_id, lesion=lesion.lesion_id, side=lesion.side)


def _unmarked(exam: Exam) -> Iterable[Issue]:
    for side, breast in exam.breasts.items():
        marked = any(lesion.side == side and lesion.malignant == 1 for lesion, _ in exam.points())
        if breast.get("malignant") == 1 and not marked:
            yield issue("malignant_without_lesion", exam.exam_id,
                        what=f"breast {side} is malignant, but no malignant lesion's centre is given")


def _binary(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and value in (0, 1))


def fold_issues(datalist: Datalist) -> Iterable[Issue]:
    """Exams listed twice, folds that are missing or that separate a patient's exams, parts of one class."""
    exams = datalist.exams
    for exam_id, number in Counter(exam.exam_id for exam in exams).items():
        if number > 1:
            yield issue("duplicate_exam", exam_id, count=number)
    if all(exam.fold is None for exam in exams):
        yield issue("fold_missing", what="no exam has a fold")
        return
    count = datalist.folds.get("count") or 1 + max(exam.fold for exam in exams if exam.fold is not None)
    for exam in exams:
        yield from _own_folds(exam, count)
    yield from _patients(exams)
    for fold in () if APART in datalist.folds else range(count):
        yield from _parts(exams, fold, ("test",) if fold == datalist.folds.get("held_out") else ("validation", "test"))


def _own_folds(exam: Exam, count: int) -> Iterable[Issue]:
    named = [*exam.validation_folds, *([] if exam.fold is None else [exam.fold])]
    if exam.fold is None:
        yield issue("fold_missing", exam.exam_id, what="the exam has no fold, others have")
    elif not all(0 <= fold < count for fold in named):
        yield issue("fold_missing", exam.exam_id, what=f"a fold of the exam is not among 0 to {count - 1}")
    elif exam.fold in exam.validation_folds:
        yield issue("fold_missing", exam.exam_id, what=f"the exam tests and validates in fold {exam.fold}")


def _patients(exams: list[Exam]) -> Iterable[Issue]:
    """A patient's exams play the same part in every fold."""
    by_patient = defaultdict(list)
    for exam in exams:
        by_patient[exam.patient_id].append(exam)
    for first, *others in by_patient.values():
        for exam in others:
            if None not in (exam.fold, first.fold) and exam.fold != first.fold:
                detail = f"tested in fold {first.fold}, this one in fold {exam.fold}"
            elif set(exam.validation_folds) != set(first.validation_folds):
                detail = "a validation exam in other folds than this one"
            else:
                continue
            yield issue("patient_in_two_folds", exam.exam_id, other=first.exam_id, detail=detail)


def _parts(exams: list[Exam], fold: int, parts: tuple[str, ...]) -> Iterable[Issue]:
    """A fold's test and validation parts hold both classes, breast by breast."""
    for part in parts:
        inside = [exam for exam in exams if exam.split(fold) == part]
        if not inside:
            yield issue("fold_missing", what=f"fold {fold} has no {part} exam")
            continue
        labels = {breast.get("malignant") for exam in inside for breast in exam.breasts.values()}
        for label, kind in ((1, "malignant"), (0, "non-malignant")):
            if label not in labels:
                yield issue("fold_one_class", fold=fold, part=part, kind=kind)
