"""The fastMRI Breast converter: its own coding, repeated scans, and the real label table."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import openpyxl
import pytest
from real_data import FOLDER, needs

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from transforms.load import read_image

HEADER = ["Patient Coded Name", "Repeated scans (0 = not repeat, 1:16 = repeated)",
          "Data split (0=training, 1=testing)", "Age",
          "Menopause (0= pre, 1 = post, 2 = unknown)", "Reason (0= increased risk screening, 1= short-term f/u",
          "Lesion status (0 = negative, 1= malignancy, 2= benign)", "Malignant lesion type",
          "Laterality (1=right, 2=left)"]
ROWS = [  # number, repeated, split, reason, status, laterality
    (1, 0, 0, 2, 1, 1), (2, 1, 0, 0, 0, None), (3, 1, 1, 0, 2, None), (4, 0, 0, 2, 1, 2), (5, 0, 0, 2, 1, "bilateral"),
    (6, 0, 0, 1, 2, 2), (7, 0, 1, 2, 1, None), (8, 0, 0, 0, 0, None), (9, 0, 0, 0, 2, None)]


def write_table(root: Path, rows: list[Any] = ROWS) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for number, repeated, split, reason, status, side in rows:
        name = f"fastMRI_breast_{number:03d}" if isinstance(number, int) else number
        book.active.append([name, repeated, split, 50, 1, reason, status, None, side])
    book.save(root / "breast_fastMRI_final.xlsx")


@pytest.fixture
def fastmri(tmp_path: Path) -> Path:
    root = tmp_path / "fastmri"
    for number, *_ in ROWS:
        for k, frame in enumerate(("pre", "post1", "post2", "post3")):
            path = root / "dcm" / f"fastMRI_breast_{number:03d}_2" / f"{frame}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(np.full((4, 4, 4), k, np.int16), np.eye(4)), path)
    write_table(root)
    return root


def convert(root: Path, *options: str) -> int:
    return main(["fastmri-breast", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_one_is_malignant_and_two_is_benign_here(fastmri: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(fastmri) == 0
    assert "warning: 1 patients are on both sides" in capsys.readouterr().err
    found = {name[-1]: [(b["malignant"], b["benign"]) for b in exam.breasts.values()] for name, exam in
             exams(fastmri).items()}
    assert found["1"] == [(0, None), (1, None)] and found["4"] == [(1, None), (0, None)]
    assert found["5"] == [(1, None), (1, None)] and found["8"] == [(0, 0), (0, 0)]
    assert found["9"] == [(0, None), (0, None)] and found["6"] == [(0, 1), (0, None)]
    assert found["7"] == [(None, None), (None, None)]  # malignant, but nobody says where
    assert exams(fastmri)["fastMRI_breast_002"].patient_id == exams(fastmri)["fastMRI_breast_003"].patient_id
    assert exams(fastmri)["fastMRI_breast_001"].groups == {"reason": "workup"}
    assert convert(fastmri, "--clean", "--other-breast", "unknown") == 0
    assert exams(fastmri)["fastMRI_breast_002"].held_out
    assert exams(fastmri)["fastMRI_breast_001"].breasts["L"]["malignant"] is None


def test_time_frames_of_dicom(fastmri: Path, make_series: Any) -> None:
    folder = fastmri / "dcm" / "fastMRI_breast_001_2"
    shutil.rmtree(folder)
    array = np.random.default_rng(0).integers(0, 99, (6, 6, 5)).astype(np.int16)
    for k in (2, 0, 3, 1):
        make_series(folder / f"frame{3 - k}", array + np.int16(k), np.diag([-1.0, -1, 2, 1]), AcquisitionNumber=k + 1,
                    SeriesNumber=9 - k, shuffle=k + 1)
    assert convert(fastmri) == 0
    datalist, exam = load(fastmri.parent / "list.json"), exams(fastmri)["fastMRI_breast_001"]
    means = [read_image(datalist.path(exam, frame)).array.mean() - array.mean() for frame in exam.images]
    assert list(exam.images) == ["pre", "post1", "post2", "post3"] and np.allclose(means, [0, 1, 2, 3])
    assert not Path(exam.images["pre"]).is_absolute()


@pytest.mark.parametrize(("row", "text"), [
    ((1, 0, 0, 2, 3, 1), "row 2: `lesion status` is none of 0, 1, 2"),
    ((1, 0, 0, 2, 1, "Jane Doe"), "row 2: `laterality` is none of 1, 2, bilateral, empty"),
    (("Jane Doe", 0, 0, 2, 1, 1), "row 2: `Patient Coded Name` is not like fastMRI_breast_001"),
    ((400, 0, 0, 2, 1, 1), "1 of 1 listed images are not there, the first is fastMRI_breast_400"),
])
def test_what_is_refused_in_one_line(fastmri: Path, capsys: pytest.CaptureFixture[str], row: Any, text: str) -> None:
    write_table(fastmri, [row])
    assert convert(fastmri) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert text in error and "Jane" not in error


@needs("fastmri_breast_labels")
def test_the_real_table_at_full_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(next((FOLDER / "fastmri_breast_labels").glob("*.xlsx")), tmp_path)
    for number in range(1, 301):
        (tmp_path / f"fastMRI_breast_{number:03d}").mkdir()
        for frame in ("pre", "post1", "post2", "post3"):
            (tmp_path / f"fastMRI_breast_{number:03d}" / f"{frame}.nii.gz").touch()
    run = ["fastmri-breast", str(tmp_path), "-o", str(tmp_path / "list.json")]
    assert main(run) == 0
    assert "warning: 10 patients are on both sides" in capsys.readouterr().err
    datalist = load(tmp_path / "list.json")
    negative = sum(exam.healthy() for exam in datalist.exams)
    malignant = sum(any(b["malignant"] == 1 for b in exam.breasts.values()) for exam in datalist.exams)
    assert (negative, malignant, 300 - negative - malignant) == (51, 90, 159)
    patients = Counter(exam.patient_id for exam in datalist.exams)
    assert Counter(patients.values()) == {1: 268, 2: 16}
    assert sum(exam.held_out for exam in datalist.exams) == 60
    assert main([*run, "--clean"]) == 0 and sum(exam.held_out for exam in load(tmp_path / "list.json").exams) == 70
    capsys.readouterr()
    assert main([*run, "--folds", "own"]) == 0 and load(tmp_path / "list.json").folds == {"count": 5, "seed": 0}
