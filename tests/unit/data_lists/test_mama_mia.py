"""The MAMA-MIA converter: centres of outlines, sides, and the patients that other collections know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import openpyxl
import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.verify import verify

SHAPE = (24, 20, 8)
AFFINE = np.array([[-7.0, 0, 0, 80.5], [0, 7.0, 0, -60.0], [0, 0, 5.0, -20.0], [0, 0, 0, 1]])
SAGITTAL = np.array([[0, 0, 4.0, 60.0], [-7.0, 0, 0, 80.0], [0, 7.0, 0, -60.0], [0, 0, 0, 1]])  # x: 60 … 88
PATIENTS = [  # id, collection, affine, voxels of the outline (None: empty), bilateral image, bilateral cancer
    ("DUKE_001", "DUKE", AFFINE, (slice(3, 6), slice(4, 8), slice(2, 4)), 1, 0),
    ("DUKE_002", "DUKE", AFFINE, (slice(16, 19), slice(4, 8), slice(2, 4)), 1, 1),
    ("ISPY1_1001", "ISPY1", SAGITTAL, (slice(3, 6), slice(4, 8), slice(2, 4)), 0, 0),
    ("NACT_01", "NACT", SAGITTAL, None, 0, 0),
    ("ISPY2_123", "ISPY2", AFFINE, (slice(3, 6), slice(4, 8), slice(2, 4)), 1, 0),
    ("ISPY2_124", "ISPY2", AFFINE, (slice(3, 6), slice(4, 8), slice(2, 4)), 1, 0),
]


@pytest.fixture
def mama(tmp_path: Path) -> Path:
    root = tmp_path / "mama"
    book = openpyxl.Workbook()
    book.active.title = "notes"
    sheet = book.create_sheet("dataset_info")
    sheet.append(["patient_id", "dataset", "bilateral_breast_cancer", "multifocal_cancer", "view", "bilateral_mri"])
    for k, (patient, source, affine, outline, both, cancer) in enumerate(PATIENTS):
        sheet.append([patient, source, cancer, 0, "axial" if both else "sagittal", both])
        for phase in range(3 if k else 4):
            path = root / "images" / patient / f"{patient.lower()}_{phase:04d}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            voxels = np.random.default_rng(k * 9 + phase).integers(0, 99, SHAPE).astype(np.int16)
            nib.save(nib.Nifti1Image(voxels, affine), path)
        mask = np.zeros(SHAPE, np.uint8)
        if outline:
            mask[outline] = 1
            mask[11, 15, 7] = 1  # a speck
        for kind in ("automatic", "expert"):
            path = root / "segmentations" / kind / f"{patient.lower()}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(mask if kind == "expert" else np.ones_like(mask), affine), path)
    book.save(root / "clinical_and_imaging_info.xlsx")
    (root / "train_test_splits.csv").write_text("train_split,test_split\nDUKE_001,ISPY2_124\nDUKE_002,\n")
    return root


def convert(root: Path, *options: str) -> int:
    return main(["mama-mia", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_outlines_become_centres_sizes_and_sides(mama: Path) -> None:
    assert convert(mama) == 0
    found = exams(mama)
    first = found["DUKE_001"].lesions[0]
    assert first.center_mm == pytest.approx((AFFINE @ [4, 5.5, 2.5, 1])[:3]) and first.size_mm == (21.0, 28.0, 10.0)
    assert first.side == "R" and found["DUKE_002"].lesions[0].side == "L"  # x = 52.5 and -38.5, the middle at 0
    single = found["ISPY1_1001"]
    assert single.lesions[0].center_mm == pytest.approx((SAGITTAL @ [4, 5.5, 2.5, 1])[:3])
    assert single.lesions[0].size_mm == (8.0, 21.0, 28.0) and single.breasts == {"R": {"malignant": 1, "benign": None}}
    assert [b["malignant"] for b in found["DUKE_001"].breasts.values()] == [0, 1]
    assert [b["malignant"] for b in found["DUKE_002"].breasts.values()] == [1, 1]
    assert not found["NACT_01"].lesions and found["NACT_01"].breasts["L"]["malignant"] is None
    assert list(found["DUKE_001"].images) == ["pre", "post1", "post2", "post3", "lesions_mask"]
    assert [name for name, exam in found.items() if exam.held_out] == ["ISPY2_124"]
    assert not [i for i in verify(load(mama.parent / "list.json")) if i.severity == "error"]


def test_some_collections(mama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(mama, "--sources", "DUKE,ISPY2", "--folds", "own") == 2  # four patients are too few
    assert "too few" in capsys.readouterr().err
    assert convert(mama, "--sources", "BREASTDM") == 2
    assert "there are DUKE, ISPY1, ISPY2, NACT" in capsys.readouterr().err


@pytest.mark.parametrize(("damage", "text"), [
    (lambda root: (root / "clinical_and_imaging_info.xlsx").unlink(), "no clinical_and_imaging_info.xlsx in it"),
    (lambda root: (root / "train_test_splits.csv").write_text("a,b\n1,2\n"), "no column names the test part"),
    (lambda root: (root / "segmentations" / "expert" / "duke_001.nii.gz").write_bytes(b"x"), "not a NIfTI file"),
])
def test_what_is_refused_in_one_line(mama: Path, capsys: pytest.CaptureFixture[str], damage: Any, text: str) -> None:
    damage(mama)
    assert convert(mama) == 2
    assert text in capsys.readouterr().err.strip().splitlines()[-1]
