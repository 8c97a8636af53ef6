"""One fault at a time, put into a healthy cohort: each is found, named by its code, and nothing else is."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.datalist import Datalist, Exam, InputError, Lesion, load
from pipeline.verify import RULES, verify

# Of the tiny cohort (tests/helpers/cohorts.py): exam 0 has a malignant left breast with a centre at (-60, 20, 5),
# exam 1 a benign right breast; the right breast of exam 0 and both breasts of exam 3 have nothing.


def flip_bit(cohort: Any) -> None:
    path = cohort.path()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def patch(path: Path, at: int, new: bytes) -> None:
    """Put bytes into a NIfTI header."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[at : at + len(new)] = new
    path.write_bytes(gzip.compress(content))


def rewritten(
    contrast: str, change: Callable[[np.ndarray, np.ndarray], Any], number: int = 0
) -> Callable[[Any], None]:
    return lambda cohort: cohort.rewrite(number, contrast, change)


def put(target: str, value: Any) -> Callable[[np.ndarray, np.ndarray], Any]:
    """A change of an image: one voxel (`array`) set to a value, or the affine to `value(affine)`."""

    def change(array: np.ndarray, affine: np.ndarray) -> np.ndarray:
        array = array.astype(np.float32)
        if target == "affine":
            affine[:3] = value(affine)[:3]
        else:
            array[32, 32, 4] = value
        return array
    return change


FILE_FAULTS: dict[str, tuple[Callable[[Any], None], str, str]] = {
    # name: (mutation, expected code, expected contrast)
    "file removed": (lambda c: c.path().unlink(), "missing_file", "pre"),
    "folder in its place": (lambda c: (c.path().unlink(), c.path().mkdir()), "unreadable_file", "pre"),
    "file of 0 bytes": (lambda c: c.path().write_bytes(b""), "empty_file", "pre"),
    "half a file": (lambda c: c.path().write_bytes(c.path().read_bytes()[:9000]), "truncated_file", "pre"),
    "last byte gone": (lambda c: c.path().write_bytes(c.path().read_bytes()[:-1]), "truncated_file", "pre"),
    "one bit flipped": (flip_bit, "corrupt_file", "pre"),
    "text": (lambda c: c.path().write_text("not an image" * 99), "unreadable_file", "pre"),
    "one NaN": (rewritten("pre", put("array", np.nan)), "non_finite", "pre"),
    "one infinity": (rewritten("t2", put("array", -np.inf)), "non_finite", "t2"),
    "all zero": (rewritten("post1", lambda a, m: a * 0), "constant_image", "post1"),
    "a slice less": (rewritten("post1", lambda a, m: a[:, :, 1:]), "shape_mismatch", "post1"),
    "shifted by half a voxel": (
        rewritten("post1", put("affine", lambda m: m + np.pad([[2.5]], ((0, 3), (3, 0))))),
        "affine_mismatch", "post1"),
    "flipped": (rewritten("post1", put("affine", lambda m: m @ np.diag([-1.0, 1, 1, 1]))),
                "affine_mismatch", "post1"),
    "turned by half a degree": (rewritten("post1", put("affine", lambda m: turned(0.0087) @ m)),
                                "affine_mismatch", "post1"),
    "one slice only": (rewritten("t2", lambda a, m: a[:, :, :1]), "not_3d", "t2"),
    "two volumes": (rewritten("t2", lambda a, m: np.stack([a, a], -1)), "not_3d", "t2"),
    "affine of zeros": (lambda c: patch(c.path(0, "t2"), 280, bytes(48)), "bad_affine", "t2"),
    "metres for millimetres": (rewritten("t2", put("affine", lambda m: m / 1000)), "converted", "t2"),
    "header lost": (rewritten("t2", put("affine", lambda m: np.eye(4))), "odd_spacing no_overlap", "t2"),
    "far away": (rewritten("t2", put("affine", lambda m: m + np.pad([[500.0]], ((0, 3), (3, 0))))), "no_overlap", "t2"),
    "neither qform nor sform": (lambda c: patch(c.path(0, "t2"), 252, bytes(4)), "no_orientation", "t2"),
    "one voxel of 3e38": (rewritten("post1", put("array", 3e38)), "outlier", "post1"),
    "cut off above": (rewritten("pre", lambda a, m: np.minimum(a, 700)), "clipped", "pre"),
    "a copy of another": (lambda c: c.path(0, "t2").write_bytes(c.path(1, "t2").read_bytes()),
                          "duplicate_image", "t2"),
    "a copy, compressed anew": (lambda c: c.rewrite(0, "t2", lambda a, m: copied(c)),
                                "duplicate_image", "t2"),
}


def turned(angle: float) -> np.ndarray:
    """A rotation about z by an angle in radians."""
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


def copied(cohort: Any) -> np.ndarray:
    held: list[np.ndarray] = []
    cohort.rewrite(1, "t2", lambda array, affine: held.append(array.copy()))
    return held[0]


def label(number: int, side: str, name: str, value: Any) -> Callable[[Datalist], None]:
    return lambda d: d.exams[number].breasts[side].__setitem__(name, value)


def center(*point: float, side: str = "L") -> Callable[[Datalist], None]:
    return lambda d: d.exams[0].lesions.__setitem__(0, Lesion(side, point, 1, "1"))


def alone_in_its_fold(datalist: Datalist) -> None:
    """Fold 2 tests exams without a malignant breast only."""
    for exam in datalist.exams:
        exam.validation_folds = []
        exam.fold = 2 if exam.worst_label() == 0 else int(exam.exam_id[-1]) % 4 // 2
    for i, exam in enumerate(datalist.exams):
        exam.validation_folds = [(exam.fold + 1) % 3] if exam.fold != 2 else [0]
        if i in (0, 2):
            exam.validation_folds = [fold for fold in range(3) if fold != exam.fold]


LIST_FAULTS: dict[str, tuple[Callable[[Datalist], Any], str, str]] = {
    # name: (mutation, expected code, expected severity)
    "an image less": (lambda d: d.exams[0].images.pop("t2"), "missing_phase", "warning"),
    "one file for two contrasts": (
        lambda d: d.exams[0].images.update(t2="E0000/../E0001/t2.nii.gz"), "duplicate_image", "error"),
    "centre above the image": (center(-60, 20, 60), "center_outside", "error"),
    "centre of NaN": (center(np.nan, 20, 5), "center_outside", "error"),
    "LPS taken for RAS": (center(60, -20, 5), "center_other_breast", "error"),
    "centre 11 mm beyond the middle": (center(11, 20, 5), "center_other_breast", "error"),
    "centre 9 mm beyond the middle": (center(9, 20, 5), "center_other_breast", "warning"),
    "label of 2": (label(3, "L", "malignant", 2), "label_not_binary", "error"),
    "label as text": (label(3, "L", "benign", "0"), "label_not_binary", "error"),
    "lesion's label of 0.5": (
        lambda d: d.exams[1].lesions.append(Lesion("R", (60, 20, 5), 0.5, "1")), "label_not_binary", "error"),
    "unknown label": (label(3, "L", "malignant", None), "label_missing", "warning"),
    "no breast": (lambda d: d.exams[3].breasts.clear(), "label_missing", "warning"),
    "side in another spelling": (
        lambda d: d.exams[3].breasts.update(left=d.exams[3].breasts.pop("L")), "side_unknown", "error"),
    "lesion in a breast that was not imaged": (
        lambda d: d.exams[1].lesions.append(Lesion("R", (60, 20, 5), 0, "1")) or d.exams[1].breasts.pop("R"),
        "lesion_without_breast", "error"),
    "malignant without a centre": (
        lambda d: d.exams[0].lesions.clear(), "malignant_without_lesion", "warning"),
    "no centre anywhere": (
        lambda d: [exam.lesions.clear() for exam in d.exams], "malignant_without_lesion", "warning"),
    "malignant lesion, healthy breast": (
        lambda d: d.exams[3].lesions.append(Lesion("L", (-60, 20, 5), 1, "1")),
        "lesion_label_contradicts", "error"),
    "benign lesion, healthy breast": (
        lambda d: d.exams[3].lesions.append(Lesion("L", (-60, 20, 5), 0, "1")), "healthy_with_lesion", "error"),
    "patient tested in two folds": (
        lambda d: setattr(other_fold(d), "patient_id", d.exams[0].patient_id),
        "patient_in_two_folds", "error"),
    "an exam without a fold": (lambda d: setattr(d.exams[0], "fold", None), "fold_missing", "error"),
    "fold beyond the count": (lambda d: setattr(d.exams[0], "fold", 3), "fold_missing", "error"),
    "validates where it is tested": (
        lambda d: d.exams[0].validation_folds.append(d.exams[0].fold), "fold_missing", "error"),
    "no folds": (lambda d: [setattr(exam, "fold", None) for exam in d.exams], "fold_missing", "error"),
    "no validation": (lambda d: [exam.validation_folds.clear() for exam in d.exams], "fold_missing", "error"),
    "a fold of one class": (alone_in_its_fold, "fold_one_class", "warning"),
}


def other_fold(datalist: Datalist) -> Exam:
    """An exam that is tested in another fold than exam 0."""
    return next(exam for exam in datalist.exams if exam.fold != datalist.exams[0].fold)


def test_a_healthy_cohort_has_no_issue(tiny_cohort) -> None:
    assert verify(tiny_cohort.load()) == []


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_damaged_file_is_found_and_nothing_else(tiny_cohort, fault: str) -> None:
    mutate, code, image = FILE_FAULTS[fault]
    mutate(tiny_cohort)
    issues = verify(tiny_cohort.load())
    assert {(it.code, it.image) for it in issues} == {(each, image) for each in code.split()}
    # Of two equal images, the one listed later is named.
    assert {it.exam for it in issues} == {"E0001" if code == "duplicate_image" else "E0000"}


@pytest.mark.parametrize("fault", LIST_FAULTS)
def test_a_contradiction_in_the_list_is_found_and_nothing_else(tiny_cohort, fault: str) -> None:
    mutate, code, severity = LIST_FAULTS[fault]
    datalist = tiny_cohort.load()
    mutate(datalist)
    issues = verify(datalist, quick=True)
    assert {(it.code, it.severity) for it in issues} == {(code, severity)}


def test_an_exam_listed_twice(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.exams.append(datalist.exams[0])
    found = {it.code: it for it in verify(datalist, quick=True)}
    assert set(found) == {"duplicate_exam", "duplicate_image"}  # its files are listed twice with it
    assert found["duplicate_exam"].reason == "the exam is listed 2 times"


def test_every_code_is_put_to_the_test() -> None:
    tested = {each for _, code, _ in (*FILE_FAULTS.values(), *LIST_FAULTS.values()) for each in code.split()}
    tested |= {"duplicate_exam"}
    tested |= {"no_pixels", "plugin", "view", "laterality", "no_breast", "detection",  # test_bad_mammograms.py
               "polarity", "other_patient", "other_study", "mixed_intent"}
    tested |= {"series", "box_without_view", "box_outside", "box_label_contradicts"}  # of verify's own tests
    assert tested == set(RULES)


def test_all_faults_at_once_are_all_found(tiny_cohort) -> None:
    for number, fault in enumerate(["file of 0 bytes", "half a file", "one bit flipped", "text"]):
        datalist = tiny_cohort.load()
        datalist.exams[0], datalist.exams[number] = datalist.exams[number], datalist.exams[0]
        tiny_cohort.save(datalist)
        FILE_FAULTS[fault][0](tiny_cohort)
    assert {it.code for it in verify(tiny_cohort.load())} == {
        "empty_file", "truncated_file", "corrupt_file", "unreadable_file"}


@pytest.mark.parametrize(("change", "says"), [
    (lambda d: d.update(schema="other/1"), "schema"),
    (lambda d: d.pop("exams"), "exams"),
    (lambda d: d.update(modality="CT"), "modality"),
    (lambda d: d["folds"].update(count="5"), "folds.count"),
    (lambda d: d["exams"][0].pop("patient_id"), "patient_id"),
    (lambda d: d["exams"][0].update(images=["a.nii"]), "images"),
    (lambda d: d["exams"][0]["images"].update(pre=None), "path"),
    (lambda d: d["exams"][0].update(breasts=[0, 1]), "breasts"),
    (lambda d: d["exams"][0]["breasts"].update(L=1), "breast"),
    (lambda d: d["exams"][0]["lesions"][0].update(center_mm=[1, 2]), "center_mm"),
    (lambda d: d["exams"][0]["lesions"][0].update(radius=3), "radius"),
    (lambda d: d["exams"][0].update(fold="0"), "fold"),
    (lambda d: d["exams"].__setitem__(0, "E0000"), "form"),
])
def test_a_list_in_another_form_is_one_line(tiny_cohort, change: Callable[[dict], Any], says: str) -> None:
    content = json.loads(tiny_cohort.list.read_text())
    change(content)
    tiny_cohort.list.write_text(json.dumps(content))
    with pytest.raises(InputError, match=says) as caught:
        load(tiny_cohort.list)
    assert len(str(caught.value).splitlines()) == 1
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x80"])
def test_a_file_that_is_no_list_is_one_line(tmp_path, content: str) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(content.encode("latin-1"))
    command = [sys.executable, "-m", "pipeline", "verify", str(path), "--json", str(tmp_path / "o.json")]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1 and run.stderr.startswith("error: ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.json"]
