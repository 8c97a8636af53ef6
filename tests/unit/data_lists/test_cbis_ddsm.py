"""The CBIS-DDSM converter: on the real tables with empty pictures, and on small pictures with outlines."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_data import FOLDER, needs

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.files.tables import read_table
from pipeline.mammography.views import VIEWS
from transforms import LoadViews

MASS = ("patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
        "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path")
SHAPE = (60, 40)


@pytest.fixture
def cbis(tmp_path: Path, make_mammogram: Any) -> Path:
    """Patients in one part each, but P_00009 in both; its left CC is there twice; a lesion's files are swapped."""
    root = tmp_path / "cbis"
    lesions = [  # kind, part, patient, side, view, number, pathology
        *[("mass", "train", f"P_0000{k}", "LEFT", view, 1, "MALIGNANT" if k % 2 else "BENIGN_WITHOUT_CALLBACK")
          for k in range(1, 7) for view in ("CC", "MLO")],
        *[("mass", "test", f"P_0001{k}", "RIGHT", "CC", 1, "MALIGNANT" if k % 2 else "BENIGN") for k in range(2)],
        ("mass", "train", "P_00009", "LEFT", "CC", 1, "BENIGN"),
        ("calc", "test", "P_00009", "LEFT", "CC", 1, "MALIGNANT"),
        ("calc", "train", "P_00001", "LEFT", "CC", 1, "BENIGN"),
        ("calc", "train", "P_00001", "LEFT", "CC", 2, "BENIGN"),
    ]
    tables: dict[str, list[str]] = {}
    for i, (kind, part, patient, side, view, number, pathology) in enumerate(lesions):
        name = f"{kind.title()}-{'Training' if part == 'train' else 'Test'}_{patient}_{side}_{view}"
        folder = root / "CBIS-DDSM"
        if not (folder / name).exists():
            make_mammogram(folder / name / "1.2.3" / "1.000000-full mammogram images-1" / "1-1.dcm", side[0], SHAPE,
                           PatientID=name, PatientOrientation="CC")
        mask = np.zeros(SHAPE)
        mask[10 + number:20, 5:12 + i % 3] = 255
        crop = np.full((9, 7), 200)
        for n, pixels in enumerate((crop, mask) if i % 2 else (mask, crop), start=1):  # swapped in every second row
            make_mammogram(folder / f"{name}_{number}" / "1.2.4" / "1.0-ROI-1" / f"1-{n}.dcm", pixels=pixels, bits=8)
        density = "breast_density" if kind == "mass" else "breast density"
        header = MASS.replace("breast_density", density)
        paths = [f"{name}/1.2.3/1.9.{i}/000000.dcm", f"{name}_{number}/1.2.4/1.8/000000.dcm",
                 f'"{name}_{number}/1.2.4/1.8/000001.dcm\n"']
        tables.setdefault(f"{kind}_case_description_{part}_set.csv", [header]).append(
            ",".join([patient, str(i % 5), side, view, str(number), kind, "OVAL", "X", "4", pathology, "3", *paths]))
    for name, lines in tables.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def convert(root: Path, *options: str) -> int:
    return main(["cbis-ddsm", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_worst_pathology_boxes_and_pictures_that_are_there_twice(cbis: Path) -> None:
    assert convert(cbis, "--clean") == 0
    found = exams(cbis)
    assert found["P_00001"].breasts == {"L": {"malignant": 1, "benign": 1}}  # a malignant mass, benign calcifications
    assert found["P_00002"].breasts == {"L": {"malignant": 0, "benign": 1}}
    assert list(found["P_00001"].images) == ["L-CC", "L-MLO"] and "Mass-" in found["P_00001"].images["L-CC"]
    boxes = [(f.view, f.box, f.malignant) for f in found["P_00001"].findings]
    assert ("L-CC", (11, 5, 20, 12), 1) in boxes and ("L-CC", (12, 5, 20, 14), 0) in boxes and len(boxes) == 4
    assert found["P_00009"].held_out and len(found["P_00009"].findings) == 2
    assert load(cbis.parent / "list.json").source["left_out"] == {"pictures that are there twice": 2}
    assert [found[f"P_0001{k}"].held_out for k in (0, 1)] == [True, True] and not found["P_00001"].held_out


def test_patients_in_both_parts_are_two_exams_unless_cleaned(cbis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(cbis) == 0
    assert "warning: 1 patients are on both sides" in capsys.readouterr().err
    found = exams(cbis)
    assert (found["P_00009_train"].held_out, found["P_00009_test"].held_out) == (False, True)
    assert convert(cbis, "--folds", "own", "--no-boxes") == 0
    assert "P_00009" in exams(cbis) and not any(exam.held_out for exam in exams(cbis).values())


def test_lesion_types_alone_have_a_clean_split(cbis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(cbis, "--lesions", "mass", "--no-boxes") == 0
    assert "both sides" not in capsys.readouterr().err
    assert not any(exam.findings for exam in exams(cbis).values()) and "P_00009" in exams(cbis)


def test_boxes_lie_on_the_prepared_array_where_the_outline_is(cbis: Path) -> None:
    """The view is read as preparation reads it: one patient although every picture's header names itself."""
    assert convert(cbis, "--clean") == 0
    datalist, exam = load(cbis.parent / "list.json"), exams(cbis)["P_00010"]
    inputs = VIEWS.inputs(exam, {name: datalist.path(exam, name) for name in exam.images})
    result = LoadViews()(inputs)
    arrays = {name: facts for name, _, facts in VIEWS.arrays(result)}
    case = next(VIEWS.cases(exam, {"arrays": {n: {"image": "", **facts} for n, facts in arrays.items()}}))
    top, left, bottom, right, _ = case["boxes"][0]
    mask = np.zeros(SHAPE)
    mask[11:20, 5:12 + 12 % 3] = 1  # as the fixture draws the 13th lesion; a right breast is mirrored
    rows, columns = np.nonzero(mask[:, ::-1])
    assert (top, left, bottom, right) == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    two = exams(cbis)["P_00001"]
    assert len(LoadViews()(VIEWS.inputs(two, {n: datalist.path(two, n) for n in two.images}))["views"]) == 2


@pytest.mark.parametrize(("change", "text"), [
    (("pathology", "result"), "column `pathology` is missing"),
    (("P_00001,0,LEFT", "P_00001,0,RIGHT"), "row 2: `image file path` is of another patient, side or view"),
    (("P_00001,0,LEFT", "0,P_00001,LEFT"), "row 2: `patient_id` is not like P_00001"),
    (("MALIGNANT", "Jane Doe"), "row 2: `pathology` is none of malignant, benign"),
])
def test_what_is_refused_in_one_line(cbis: Path, capsys: pytest.CaptureFixture[str], change: Any, text: str) -> None:
    table = cbis / "mass_case_description_train_set.csv"
    table.write_text(table.read_text().replace(*change, 1))
    assert convert(cbis) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert text in error and "Jane" not in error


def test_half_a_download_is_refused(cbis: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(1, 6):
        shutil.rmtree(cbis / "CBIS-DDSM" / f"Mass-Training_P_0000{k}_LEFT_CC")
    assert convert(cbis) == 2
    assert "5 of 17 listed images are not there, the first is Mass-Training_P_0000" in capsys.readouterr().err


@pytest.mark.slow
@needs("cbis_ddsm_tables")
def test_the_real_tables_at_full_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = sorted((FOLDER / "cbis_ddsm_tables").glob("*.csv"))
    folders = set()
    for table in tables:
        shutil.copy(table, tmp_path / table.name)
        folders |= {row.text("image file path").split("/")[0] for row in read_table(table)}
    for name in folders:
        (tmp_path / "p" / name / "1-x").mkdir(parents=True)
        (tmp_path / "p" / name / "1-x" / "1-1.dcm").touch()
    assert len(folders) == 3103
    assert main(["cbis-ddsm", str(tmp_path), "-o", str(tmp_path / "list.json"), "--no-boxes"]) == 0
    assert "warning: 31 patients are on both sides" in capsys.readouterr().err
    assert main(["cbis-ddsm", str(tmp_path), "-o", str(tmp_path / "list.json"), "--no-boxes", "--clean"]) == 0
    datalist = load(tmp_path / "list.json")
    assert sum(len(exam.images) for exam in datalist.exams) == 3032 and len(datalist.exams) == 1566
    assert datalist.source["left_out"] == {"pictures that are there twice": 71}
    for kind, images in (("mass", 1231 + 361), ("calc", 1227 + 284)):
        one = ["-o", str(tmp_path / "one.json"), "--no-boxes", "--lesions", kind]
        assert main(["cbis-ddsm", str(tmp_path), *one]) == 0
        assert sum(len(exam.images) for exam in load(tmp_path / "one.json").exams) == images
