"""Slices of lesions as a unit and as cases, by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pipeline.breast_mri.lesion_slices import LESION_SLICES, slices
from pipeline.datalist import MASK, Exam, Lesion
from pipeline.errors import InputError


@pytest.fixture
def exam() -> Exam:
    """Two lesions on the left, one of them unknown; one on the right."""
    exam = Exam("E1", "P1", {"pre": "pre.nii.gz"}, {"L": {"malignant": 1}, "R": {"malignant": 0}})
    exam.lesions = [Lesion("L", (1.0, 2.0, 3.0), 1, "1"), Lesion("L", (4.0, 5.0, 6.0), None, "2"),
                    Lesion("R", (7.0, 8.0, 9.0), 0, "3")]
    exam.readers = {"one": {"L": 5.0, "R": 2.0}, "two": {"exam": 3.0}, "three": {"L": 1.0}}
    return exam


def test_preprocessing_is_given_known_lesions_and_the_mask_apart(exam) -> None:
    assert LESION_SLICES.files(["pre", "sub", "t2"]) == ["pre", "t2", MASK]  # `sub` is made of others
    given = LESION_SLICES.inputs(exam, {"pre": Path("a"), MASK: Path("m")})
    assert given == {"image": {"pre": Path("a")}, "mask": Path("m"),
                     "lesions": [("1", (1.0, 2.0, 3.0)), ("3", (7.0, 8.0, 9.0))]}
    before = LESION_SLICES.fingerprint(exam)
    exam.lesions[2].malignant = 1
    assert LESION_SLICES.fingerprint(exam) == before  # a corrected label prepares nothing again
    exam.lesions[2].center_mm = (7.0, 8.0, 9.5)
    assert LESION_SLICES.fingerprint(exam) != before


def test_a_reader_s_score_is_a_lesion_s_where_the_breast_has_no_other(exam) -> None:
    patches = {"1": torch.ones(2, 1, 4, 4), "3": torch.ones(1, 1, 4, 4)}
    curves = {"1": {"pre": 100.0, "post1": 250.0}, "3": {"pre": 90.0, "post1": 120.0}}
    arrays = LESION_SLICES.arrays({"patches": patches, "curves": curves})
    record = {"missing": ["t2"], "arrays": {name: {**told, "image": f"{name}.npy"} for name, _, told in arrays}}
    left, right = LESION_SLICES.cases(exam, record)
    assert (left["lesion_id"], left["slices"], left["malignant"], left["missing"]) == ("1", 2, 1, ["t2"])
    assert left["curve"] == {"pre": 100.0, "post1": 250.0}
    assert left["readers"] == {"one": None, "two": None, "three": None}
    assert (right["lesion_id"], right["side"], right["readers"]) == ("3", "R", {"one": 2.0, "two": 3.0, "three": None})


def test_a_case_is_a_slice(tiny_lesions) -> None:
    cases = slices(tiny_lesions, 0, ["pre", "sub"], "test")
    # Lesions 0, 1, 6, 7, 12, 13 are tested in fold 0; lesion i has 1 + i % 3 slices.
    assert [(case["exam_id"], case["slice"]) for case in cases] == [
        ("E0000", 0), ("E0001", 0), ("E0001", 1), ("E0006", 0), ("E0007", 0), ("E0007", 1), ("E0012", 0),
        ("E0013", 0), ("E0013", 1)]
    assert all(case["label"] == int(case["exam_id"][1:]) % 2 and case["array"] == case["image"] for case in cases)


def test_an_exam_without_a_contrast_is_named(tiny_lesions, tmp_path, reseal) -> None:
    content = json.loads((tiny_lesions / "prepared.json").read_text())
    content["lesions"][0]["missing"] = ["t2"]
    reseal(tmp_path, content)
    assert slices(tmp_path, 0, ["pre"], "test")
    with pytest.raises(InputError, match="exam E0000 has no t2; leave the exam out"):
        slices(tmp_path, 0, ["pre", "t2"], "test")


def test_arrays_of_an_earlier_version_are_refused(tiny_lesions, tmp_path, reseal) -> None:
    content = json.loads((tiny_lesions / "prepared.json").read_text())
    for case in content["lesions"]:
        del case["curve"]
    shutil.copytree(tiny_lesions, tmp_path, dirs_exist_ok=True)
    reseal(tmp_path, content)
    with pytest.raises(InputError, match=r"was prepared by an earlier version; run prepare\.yaml again"):
        slices(tmp_path, 0, ["pre"], "train")
