"""Mammograms with one fault each: verification names it by its code, and says nothing of files or patients."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from pipeline.datalist import load
from pipeline.verify import verify
from pipeline.verify.gate import CheckExamd
from transforms import LoadViews
from transforms.errors import InputError


@pytest.fixture
def exams(mammography_cohort, tmp_path):
    """A datalist of two exams, one of PNG and one of DICOM, in a folder of this test's own."""
    datalist = load(mammography_cohort.list)
    kinds = {ending: next(e for e in datalist.exams if e.images["L-CC"].endswith(ending)) for ending in ("png", "dcm")}
    for exam in kinds.values():
        shutil.copytree(datalist.root / "exams" / exam.exam_id, tmp_path / "exams" / exam.exam_id)
    datalist.exams, datalist.root = list(kinds.values()), tmp_path
    return datalist


def empty(path: Path) -> None:
    pixels = np.zeros((100, 80), np.uint16)
    pixels[5, 5] = 900
    Image.fromarray(pixels).save(path)


def mirrored(path: Path) -> None:
    Image.fromarray(np.asarray(Image.open(path))[:, ::-1].copy()).save(path)


def without_pixels(path: Path) -> None:
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)


@pytest.mark.parametrize(("number", "damage", "code"), [
    (0, empty, "no_breast"),
    (0, mirrored, "laterality"),
    (0, lambda path: path.write_bytes(b""), "empty_file"),
    (0, lambda path: path.write_bytes(path.read_bytes()[:2000]), "truncated_file"),
    (0, lambda path: Image.fromarray(np.full((50, 40), 7, np.uint16)).save(path), "constant_image"),
    (1, without_pixels, "no_pixels"),
])
def test_a_damaged_file(exams, number, damage, code) -> None:
    assert not [it for it in verify(exams) if it.code not in ("fold_missing", "fold_one_class")]
    exam = exams.exams[number]
    damage(exams.path(exam, "L-CC"))
    found = [it for it in verify(exams) if it.image]
    assert [(it.code, it.severity, it.exam, it.image) for it in found] == [(code, "error", exam.exam_id, "L-CC")]
    assert exam.patient_id not in found[0].reason and "L-CC." not in found[0].reason


def test_names_that_are_no_views_or_others_than_the_header(exams) -> None:
    first, second = exams.exams
    first.images["left"] = first.images.pop("L-CC")
    second.images["L-CC"], second.images["L-MLO"] = second.images["L-MLO"], second.images["L-CC"]
    found = {(it.exam, it.image): it.reason for it in verify(exams) if it.code == "view"}
    assert found[first.exam_id, "left"].startswith("view 'left': must be L-CC")
    assert found[second.exam_id, "L-CC"] == "the table says L-CC, its header MLO"


def test_a_compression_without_its_plugin(exams, monkeypatch) -> None:
    def fail(path, *args):
        raise InputError(f"{path.name}: compressed (JPEG 2000); pip install …", code="plugin")

    monkeypatch.setattr("pipeline.verify.reading.read_mammogram", fail)
    assert {(it.code, it.reason) for it in verify(exams) if it.image} == {("plugin", "compressed (JPEG 2000)")}


@pytest.mark.parametrize(("value", "malignant", "reason"), [
    ("screened", 1, "detection 'screened' is none of negative, screen, interval, prior"),
    ("negative", 1, "detection is negative, but a breast is malignant"),
    ("screen", 0, "detection is screen, but no breast is malignant"),
])
def test_a_detection_that_contradicts_the_labels(exams, value, malignant, reason) -> None:
    exam = exams.exams[0]
    exam.groups["detection"] = value
    exam.breasts = {side: {"malignant": malignant if side == "L" else 0, "benign": 0} for side in "LR"}
    found = [it for it in verify(exams, quick=True) if it.code == "detection"]
    assert [(it.exam, it.reason, it.severity) for it in found] == [(exam.exam_id, reason, "error")]


def test_files_of_two_patients_in_one_exam(exams, tmp_path) -> None:
    exam = exams.exams[1]
    files = {name: str(exams.path(exam, name)) for name in ("L-CC", "L-MLO")}
    other = pydicom.dcmread(files["L-MLO"])
    other.PatientID = "SOMEBODY-ELSE"
    other.save_as(files["L-MLO"])
    with pytest.raises(InputError, match=r"^E7/\S+: of another patient than the exam's other files") as caught:
        CheckExamd("image", "MG")(LoadViews()({"exam_id": "E7", "image": files}))
    assert "SOMEBODY" not in str(caught.value)


def test_repeats_by_header_do_not_replace_files_by_name(exams) -> None:
    png, dicom = exams.exams
    files = {"a": str(exams.path(dicom, "L-CC")), "L-CC": str(exams.path(png, "L-CC"))}
    assert list(LoadViews()({"image": files})["views"]) == ["L-CC", "L-CC-2"]
