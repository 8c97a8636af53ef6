"""`check`: a woman by all the names that collections give her, and images that are there twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data_lists.__main__ import main
from data_lists.check import canonical
from pipeline.datalist import Datalist, Exam, save


@pytest.mark.parametrize(("one", "other"), [
    ("DUKE_001", "Breast_MRI_001"), ("ISPY2_123456", "ACRIN-6698-123456"), ("NACT_01", "UCSF-BR-01"),
    ("ISPY1_1001", "ispy1_1001")])
def test_names_of_one_woman(one: str, other: str) -> None:
    assert canonical(one, "mama-mia") == canonical(other, "duke")


def test_plain_ids_are_a_collection_s_own() -> None:
    assert canonical("001", "rsna") != canonical("001", "csaw-cc")


def write(folder: Path, name: str, converter: str, exams: dict[str, tuple[str, str]]) -> str:
    """A list of exams: id to patient and image."""
    listed = [Exam(exam, patient, {"pre": image}, {}) for exam, (patient, image) in exams.items()]
    save(Datalist(name, "MR", folder, listed, source={"converter": converter}), folder / name)
    return str(folder / name)


def test_shared_patients_and_equal_images_are_told_with_status_1(tmp_path: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(4):
        (tmp_path / f"{k}.nii").write_bytes(bytes([k]) * 50)
    shutil.copy(tmp_path / "0.nii", tmp_path / "copy.nii")
    mama = write(tmp_path, "mama.json", "mama-mia", {"DUKE_001": ("DUKE_001", "0.nii"), "X": ("DUKE_002", "1.nii")})
    duke = write(tmp_path, "duke.json", "duke", {"Breast_MRI_001": ("Breast_MRI_001", "2.nii"),
                                                 "Breast_MRI_9": ("Breast_MRI_009", "copy.nii")})
    assert main(["check", mama, duke]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == ["mama.json and duke.json: 1 patients in both, the first in exams DUKE_001 and Breast_MRI_001",
                    "equal images: pre of exam Breast_MRI_9 in duke.json and pre of exam DUKE_001 in mama.json"]
    assert main(["check", duke]) == 0 and "1 lists: no patient and no image" in capsys.readouterr().out


def test_one_list_that_names_a_woman_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "0.nii").write_bytes(b"a")
    (tmp_path / "1.nii").write_bytes(b"b")
    both = write(tmp_path, "both.json", "csv", {"A": ("DUKE_001", "0.nii"), "B": ("Breast_MRI_001", "1.nii")})
    assert main(["check", both]) == 1
    assert "both.json: 1 patients under two names, the first in exams A, B" in capsys.readouterr().out


def test_an_image_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", write(tmp_path, "a.json", "csv", {"A": ("P", "gone.nii")})]) == 1
    assert "pre of exam A is not there" in capsys.readouterr().out
