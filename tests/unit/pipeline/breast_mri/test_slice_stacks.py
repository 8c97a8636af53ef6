"""Whole exams as a unit and as cases: four labels, what is unknown, nested subsets, by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.breast_mri.slice_stacks import TASKS, WHOLE_EXAMS, answers_of, exams, labels_of
from pipeline.datalist import Exam, Lesion
from pipeline.errors import InputError
from pipeline.networks.doubly_deep import ANSWERS
from pipeline.prepare.cases import load


def test_answers_come_in_the_network_s_order() -> None:
    names = {"L": "left", "R": "right"}
    assert tuple(f"{names[side]} {kind}" for side, kind in TASKS) == ANSWERS
    assert answers_of("malignant") == [1, 3] and answers_of("benign") == [0, 2]


def test_unknown_labels_and_breasts_that_were_not_imaged_are_not_0() -> None:
    assert labels_of({"L": {"malignant": 1, "benign": 0}, "R": {"malignant": 0, "benign": 1}}) == [0, 1, 1, 0]
    assert labels_of({"R": {"malignant": 0, "benign": None}}) == [-1, -1, -1, 0]


def test_an_exam_is_one_array_and_one_case() -> None:
    exam = Exam("E1", "P1", {}, {"R": {"malignant": 0}, "L": {"malignant": 1, "benign": 0}})
    exam.lesions = [Lesion("L", (-20.0, 10.0, 5.0), 1, "1"), Lesion("R", (20.0, 0.0, 0.0), None, "2"),
                    Lesion("R", (99.0, 0.0, 0.0), 0, "3")]  # of unknown kind, and off the image
    exam.readers = {"one": {"L": 5.0}, "two": {"exam": 3.0}}
    affine = np.array([[2.0, 0, 0, -30], [0, 2.0, 0, -10], [0, 0, 5.0, 0], [0, 0, 0, 1]])
    image = MetaTensor(torch.arange(2 * 30 * 12 * 3).reshape(2, 30, 12, 3) / 4, meta={
        "stack_affine": affine, "original_affine": np.diag([-1.0, 1, 1, 1]), "spatial_shape": np.array([3, 12, 30])})
    ((part, voxels, facts),) = WHOLE_EXAMS.arrays({"image": image})
    assert part == "stack" and voxels.shape == (2, 3, 12, 30) and voxels.dtype == np.float16
    assert voxels[1, 2, 11, 29] == np.float16((2 * 30 * 12 * 3 - 1) / 4) and facts["shape"] == [30, 12, 3]
    record = {"arrays": {"stack": {**facts, "image": "E1_stack.npy"}}, "phases": ["pre", "post2"], "missing": ["post1"]}
    (case,) = WHOLE_EXAMS.cases(exam, record)
    assert case["exam_grid"] == {"affine": np.diag([-1.0, 1, 1, 1]).tolist(), "shape": [3, 12, 30]}
    assert case["breasts"] == {"L": {"benign": 0, "malignant": 1}, "R": {"benign": None, "malignant": 0}}
    assert case["malignant"] == 1 and case["lesions"] == [[5.0, 10.0, 1.0, "L", 1]]
    assert case["readers"] == {"one": {"L": 5.0, "R": None}, "two": {"L": 3.0, "R": 3.0}}
    assert WHOLE_EXAMS.inputs(exam, {"pre": Path("a")}) == {"image": {"pre": Path("a")}}


def test_cases_of_a_fold(tiny_exams) -> None:
    """Exams 4 k to 4 k + 3 are tested in fold k: left malignant, right benign, right malignant, none."""
    found = exams(tiny_exams, 0, "t2-t0", "test")
    assert [(case["exam_id"], case["label"]) for case in found] == [
        ("E0000", [0, 1, 0, 0]), ("E0001", [0, 0, 1, 0]), ("E0002", [0, 0, 0, 1]), ("E0003", [-1, -1, 0, 0])]
    assert exams(tiny_exams, 1, "t0", "test")[3]["label"] == [-1, 0, -1, 0]
    assert all(case["image"] == case["array"] and Path(case["image"]).is_file() for case in found)


def test_subsets_are_nested_and_by_patient(tiny_exams, tmp_path, reseal) -> None:
    folder = tmp_path / "more"
    shutil.copytree(tiny_exams, folder)
    content = load(folder)
    content["exams"] = [{**case, "exam_id": f"E{i:04d}", "patient_id": f"P{i % 30}", "splits": ["train"] * 3}
                        for i, case in enumerate(content["exams"] * 5)]
    reseal(folder, content)
    taken = {share: exams(folder, 0, "t2-t0", "train", share=share) for share in (0.1, 0.2, 0.5, 1.0)}
    patients = {share: {case["patient_id"] for case in found} for share, found in taken.items()}
    assert [len(patients[share]) for share in taken] == [3, 6, 15, 30]
    assert patients[0.1] < patients[0.2] < patients[0.5] < patients[1.0]
    assert len(taken[0.5]) == 30  # two exams a patient


def test_a_subset_without_a_class_is_named(tiny_exams, tmp_path, reseal) -> None:
    """Of four training patients one has a malignant breast, each in turn: a quarter of them holds it once."""
    told = []
    for which in range(4):
        folder = tmp_path / str(which)
        folder.mkdir()
        content = load(tiny_exams)
        for i, case in enumerate(content["exams"]):
            case["image"] = str(tiny_exams / case["image"])
            case["breasts"] = {"L": {"malignant": int(i % 4 == which), "benign": 0}, "R": {"malignant": 0, "benign": 0}}
        reseal(folder, content)
        try:
            exams(folder, 0, "t0", "train", share=0.25)
        except InputError as error:
            assert error.code == "one_class"
            told.append(str(error))
        assert len(exams(folder, 0, "t0", "train")) == 4
    assert told == ["fold 0, share 0.25 of train: 1 exams without a malignant breast; both are "
                    "needed: leave this share out, or add exams"] * 3
    exams(tiny_exams, 0, "t0", "validation", "test", share=0.1)  # what is only scored may be anything


def test_a_phase_that_an_exam_lacks_stops_the_inputs_that_need_it(tiny_exams, tmp_path, reseal) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(tiny_exams, folder)
    content = json.loads((folder / "prepared.json").read_text())
    content["exams"][5].update(phases=["pre", "post2", "post3"], missing=["post1"])
    reseal(folder, content)
    exams(folder, 0, "t2-t0", "train", "validation", "test")
    with pytest.raises(InputError, match="exam E0005 has no post1, which input t1-t0 is made of; leave the exam out"):
        exams(folder, 0, "t1-t0", "train", "validation", "test")


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_that_is_none_is_refused(tiny_exams, share) -> None:
    with pytest.raises(InputError, match=f"share {share}: give a part"):
        exams(tiny_exams, 0, "t0", "train", share=share)


def test_lists_of_other_units_are_refused(tiny_prepared) -> None:
    with pytest.raises(InputError, match="holds no exams"):
        exams(tiny_prepared, 0, "t0", "train")
