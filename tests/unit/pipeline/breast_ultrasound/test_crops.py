"""Crops as a unit and as cases, by hand; healthy ones never lie where a lesion does that is tested meanwhile."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.breast_ultrasound.crops import CENTER_CROPS, crops, lesion_places
from pipeline.datalist import Datalist, Exam, Lesion, save
from pipeline.prepare.cases import SCHEMA
from transforms.grid import Grid, triple
from transforms.load import read_header


def test_a_crop_is_labelled_by_whether_it_holds_a_lesion() -> None:
    exam = Exam("E1", "P1", {"image": "a.nrrd"}, {"L": {"malignant": 0, "benign": 1}})
    exam.lesions = [Lesion("L", (1.0, 2.0, 3.0), 0, "7")]
    assert CENTER_CROPS.inputs(exam, {})["healthy"] is False
    result = {"crops": {"lesion7": torch.ones(1, 2, 3, 4), "healthy1": torch.zeros(1, 2, 3, 4)}, "padded": ["lesion7"],
              "spacing": [1.0, 1.0, 1.0]}
    stored = {name: {**told, "image": f"{name}.npy"} for name, array, told in CENTER_CROPS.arrays(result)}
    lesion, healthy = CENTER_CROPS.cases(exam, {"arrays": stored})
    assert (lesion["lesion"], lesion["side"], lesion["padded"], lesion["image_id"]) == (1, "L", True, "lesion7")
    assert (healthy["lesion"], healthy["side"], healthy["padded"]) == (0, "L", False)
    name, array, _ = next(CENTER_CROPS.arrays(result))
    assert name == "lesion7" and array.dtype == np.float16 and array.shape == (1, 2, 3, 4)


@pytest.fixture
def prepared(tmp_path, reseal):
    def write(*splits: list[str]):
        cases = [{"exam_id": f"E{i}", "patient_id": f"P{i}", "image": f"E{i}.npy", "lesion": i % 2, "splits": split}
                 for i, split in enumerate(splits)]
        return reseal(tmp_path, {"schema": SCHEMA, "folds": {"count": 2}, "crops": cases})
    return write


def test_what_is_watched_is_the_test_where_none_validates(prepared) -> None:
    folder = prepared(["train", "train"], ["validation", "train"], ["test", "test"], ["train", "test"])
    assert [case["exam_id"] for case in crops(folder, 0, "watched")] == ["E1"]
    assert [case["exam_id"] for case in crops(folder, 1, "watched")] == ["E2", "E3"]


def test_each_view_has_every_crop(prepared) -> None:
    folder = prepared(["train", "train"], ["train", "train"])
    found = crops(folder, 0, "train", views=("full", "center"))
    assert [(case["view"], case["exam_id"], case["label"]) for case in found] == [
        ("full", "E0", 0), ("full", "E1", 1), ("center", "E0", 0), ("center", "E1", 1)]
    assert "view" not in crops(folder, 0, "train")[0]


def test_places_are_shares_of_the_volume(tmp_path) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(np.zeros((10, 20, 4), np.uint8), np.diag([1.0, 0.5, 2.0, 1.0])), tmp_path / "a.nii.gz")
    exam = Exam("E1", "P1", {"image": "a.nii.gz"}, {"L": {"malignant": 1}}, fold=3)
    exam.lesions = [Lesion("L", (2.0, 7.0, 6.0), 1, "1"), Lesion("L", (20.0, 0.0, 0.0), 1, "2")]  # the other: outside
    save(Datalist("tiny", "US", tmp_path, [exam]), tmp_path / "list.json")
    # Voxels (2, 14, 3), whose middles lie at 2.5 / 10, 14.5 / 20 and 3.5 / 4.
    assert lesion_places(tmp_path / "list.json") == {"3": [[0.25, 0.725, 0.875]]}


def places_of(cohort, exam) -> set[tuple[float, ...]]:
    """Relative places of an exam's lesions, from its header."""
    header = read_header(cohort.path(exam, "image"))
    grid = Grid(triple(header.shape), np.asarray(header.affine))
    return {tuple(np.round((grid.to_index(np.asarray(m.center_mm)) + 0.5) / grid.shape, 3).tolist())
            for m in exam.lesions}


def test_no_crop_that_trains_lies_where_a_tested_lesion_does(ultrasound_cohort) -> None:
    """In every fold, the last test of held-out exams among them; crops are cut once for all folds."""
    cohort, places = ultrasound_cohort.load(), lesion_places(ultrasound_cohort.list)
    assert {exam.held_out for exam in cohort.exams if exam.lesions} == {False, True}
    checked = 0
    for fold in range(cohort.folds["count"]):
        tested = set().union(*(places_of(cohort, e) for e in cohort.exams if e.split(fold) == "test"))
        assert tested
        for exam in cohort.exams:
            given = CENTER_CROPS.inputs(exam, {})
            if given["healthy"] and exam.split(fold) in ("train", "validation"):
                own = {tuple(place) for place in places.get(given["fold"], [])}
                assert not own & tested
                checked += bool(own)
    assert checked > 10


def test_places_are_all_lesions_each_once(ultrasound_cohort) -> None:
    cohort = ultrasound_cohort.load()
    found = sorted(tuple(place) for each in lesion_places(ultrasound_cohort.list).values() for place in each)
    assert found == sorted(place for exam in cohort.exams for place in places_of(cohort, exam))


@pytest.mark.parametrize("change", [{"fold": 99}, {"spacing_mm": [1.0, 1.0, 1.0]}])
def test_an_exam_is_cut_again_where_its_fold_or_spacing_changes(ultrasound_cohort, change) -> None:
    exam = ultrasound_cohort.load().exams[0]
    assert CENTER_CROPS.fingerprint(dataclasses.replace(exam, **change)) != CENTER_CROPS.fingerprint(exam)
