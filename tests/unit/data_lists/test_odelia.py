"""The ODELIA converter: both folder forms and parquet, labels of its own coding, official folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.verify import verify

AFFINE = np.diag([-0.7, 0.7, 3.0, 1.0])
NAMES = ("Pre", "Post_1", "Post_2", "Sub_1", "T2")


def write_site(root: Path, site: str, studies: int, folds: str = "rotating", labels: str = "012") -> None:
    """Studies of two breasts each; patient ids with leading zeros that are alike at all sites."""
    folder = root / site
    meta = folder / "metadata_unilateral"
    meta.mkdir(parents=True)
    annotation, split = ["UID,PatientID,Age,Lesion"], ["UID,Split,Fold"]
    for i in range(studies):
        for s, side in enumerate(("left", "right")):
            uid = f"00{i}_{side}"
            for name in NAMES if i else NAMES[:2]:
                path = folder / "data_unilateral" / uid / f"{name}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                voxels = np.random.default_rng(i * 20 + s * 10 + len(name)).integers(0, 99, (8, 8, 4)).astype(np.int16)
                nib.save(nib.Nifti1Image(voxels, AFFINE), path)
            annotation.append(f"{uid},00{i},,{labels[(i + s) % len(labels)]}")
            for fold in range(3):
                part = {"rotating": i % 3, "fixed": 2 - (i < studies // 2) if i >= 2 else -1}[folds]
                said = "test" if part == fold else "val" if (i + 1) % 3 == fold else "train"
                split.append(f"{uid},{said},{fold}")
    (meta / "annotation.csv").write_text("\n".join(annotation) + "\n")
    (meta / "split.csv").write_text("\n".join(split) + "\n")


def convert(root: Path, *options: str) -> int:
    return main(["odelia", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_unilateral_folders_labels_and_official_folds(tmp_path: Path) -> None:
    root = tmp_path / "odelia"
    for site in ("CAM", "RSH"):
        write_site(root, site, 6)
    assert convert(root) == 0
    found = exams(root)
    assert len(found) == 24 and found["CAM_001_left"].breasts == {"L": {"malignant": 0, "benign": 1}}
    assert found["CAM_001_right"].breasts == {"R": {"malignant": 1, "benign": None}}  # 2 is malignant here
    assert found["RSH_000_left"].breasts == {"L": {"malignant": 0, "benign": 0}}
    assert found["CAM_001_left"].patient_id == found["CAM_001_right"].patient_id == "CAM_001"
    assert list(found["CAM_001_left"].images) == ["pre", "post1", "post2", "t2"]
    assert list(found["CAM_000_left"].images) == ["pre", "post1"], "what is not there is not listed"
    datalist = load(tmp_path / "list.json")
    assert datalist.folds == {"count": 3, "seed": 0} and datalist.source["split"] == "the 3 official folds"
    assert (found["CAM_004_left"].fold, found["CAM_004_left"].validation_folds) == (1, [2])
    assert not [issue for issue in verify(datalist) if issue.severity == "error"]


def test_own_folds_and_a_site_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "odelia"
    for site in ("CAM", "RSH"):
        write_site(root, site, 6)
    assert convert(root, "--folds", "own") == 0
    assert load(tmp_path / "list.json").folds == {"count": 5, "seed": 0}
    assert convert(root, "--test-site", "RSH") == 0
    assert {exam.groups["site"] for exam in exams(root).values() if exam.held_out} == {"RSH"}
    assert convert(root, "--test-site", "XYZ") == 2
    assert "there are CAM, RSH" in capsys.readouterr().err


def test_withheld_labels_are_unknown_and_dropped_only_when_asked(tmp_path: Path) -> None:
    root = tmp_path / "odelia"
    write_site(root, "CAM", 6, labels="012")
    table = root / "CAM" / "metadata_unilateral" / "annotation.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], lines[1][:-1], *lines[2:]]) + "\n")
    assert convert(root) == 0 and exams(root)["CAM_000_left"].breasts["L"] == {"malignant": None, "benign": None}
    assert convert(root, "--drop-unlabelled") == 0 and "CAM_000_left" not in exams(root)
    assert load(tmp_path / "list.json").source["left_out"] == {"breasts whose label is not known": 1}


def test_the_bilateral_form(tmp_path: Path) -> None:
    root = tmp_path / "odelia"
    for i in range(4):
        folder = root / "UKA" / "data" / f"s{i}"
        folder.mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.random.default_rng(i).integers(0, 99, (9, 8, 4)).astype(np.int16), AFFINE),
                 folder / "Pre.nii.gz")
    (root / "UKA" / "metadata").mkdir()
    rows = "".join(f"s{i},p{i},{i % 3},{2.0 if i % 2 else 0}\n" for i in range(4))
    (root / "UKA" / "metadata" / "annotation.csv").write_text(f"UID,PatientID,Lesion_Left,Lesion_Right\n{rows}")
    assert convert(root) == 0
    assert exams(root)["UKA_s1"].breasts == {"L": {"malignant": 0, "benign": 1}, "R": {"malignant": 1, "benign": None}}


def test_parquet_is_extracted_outside_the_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "odelia"
    root.mkdir()
    rows: list[dict[str, Any]] = []
    for i in range(4):
        array = np.random.default_rng(i).integers(0, 99, (6, 5, 4)).astype(np.int16)
        rows += [{"UID": f"0{i}_left", "Institution": "CAM", "Split": "test" if i % 2 == f else "train", "Fold": f,
                  "PatientID": f"0{i}", "Age": None, "Lesion": i % 3, "Image_Pre": array.tolist(),
                  "Affine_Pre": AFFINE.tolist(), "Image_T2": None, "Affine_T2": None} for f in (0, 1)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), root / "train-00000.parquet")
    assert convert(root) == 2 and "--extract DIR" in capsys.readouterr().err
    assert convert(root, "--extract", str(root / "images")) == 2 and "lies in ROOT" in capsys.readouterr().err
    assert convert(root, "--extract", str(tmp_path / "images")) == 0
    assert [path.name for path in root.iterdir()] == ["train-00000.parquet"]
    datalist = load(tmp_path / "list.json")
    exam = next(exam for exam in datalist.exams if exam.exam_id == "CAM_03_left")
    image = nib.load(datalist.path(exam, "pre"))
    assert list(exam.images) == ["pre"] and exam.fold == 1 and np.allclose(image.affine, AFFINE)
    assert np.array_equal(np.asarray(image.dataobj), np.random.default_rng(3).integers(0, 99, (6, 5, 4)))


@pytest.mark.parametrize(("change", "text"), [
    (("Lesion", "Label"), "column `lesion` is missing"),
    (("001_left,001", "001_side,001"), "`uid` ends neither in _left nor in _right"),
    (("001_left,001,,1", "001_left,001,,3"), "row 4: `lesion` is none of 0, 1, 2, empty"),
    (("001_left,001", "000_left,001"), "row 4: this UID is there a second time"),
    (("001_left,", "gone_left,"), "the first is CAM 3"),
])
def test_what_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any,
                                     text: str) -> None:
    root = tmp_path / "odelia"
    write_site(root, "CAM", 6)
    table = root / "CAM" / "metadata_unilateral" / "annotation.csv"
    table.write_text(table.read_text().replace(*change, 1))
    assert convert(root) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1
