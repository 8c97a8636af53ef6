"""Points of 3D Slicer as lesions: which exam, which breast, which label."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sheets import HEADER, row, sheet

from data_lists.__main__ import main
from pipeline.datalist import load

# malignant left, benign left, malignant right, benign right
ROWS = [row(exam_id=f"E{i}", patient_id=f"P{i}", left_malignant="1", left_benign="0", right_malignant="0",
            right_benign="1") for i in range(9)] + [row(exam_id="010", left_benign="")]


def points(path: Path, *named: tuple[str, list[float]], space: str = "LPS") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"markups": [{"coordinateSystem": space, "controlPoints": [
        {"label": name, "position": place} for name, place in named]}]}))


def run(folder: Path, *more: str, header: str = HEADER, rows: list[str] = ROWS) -> int:
    return main([*sheet(folder, header=header, rows=rows), "--points", str(folder / "marks"), *more])


def test_breasts_labels_and_spaces(tmp_path: Path) -> None:
    points(tmp_path / "marks" / "E1.mrk.json", ("L", [10, -20, 30]), ("right 2", [1, 2, 3]))
    points(tmp_path / "marks" / "E2" / "anything.mrk.json", ("R malignant", [1, 2, 3]), space="RAS")
    points(tmp_path / "marks" / "010.mrk.json", ("Left-1", [0, 0, 0]))
    assert run(tmp_path) == 0
    exams = {exam.exam_id: [(it.side, it.center_mm, it.malignant, it.lesion_id) for it in exam.lesions]
             for exam in load(tmp_path / "list.json").exams}
    assert exams["E1"] == [("L", (-10.0, 20.0, 30.0), 1, "1"), ("R", (-1.0, -2.0, 3.0), 0, "2")]
    assert exams["E2"] == [("R", (1.0, 2.0, 3.0), 1, "1")]
    assert exams["010"] == [("L", (0.0, 0.0, 0.0), None, "1")]  # malignant, and whether benign too is not known
    assert exams["E3"] == []


def test_an_exam_of_one_breast_needs_no_side(tmp_path: Path) -> None:
    rows = [f"{text},0" for text in [row(exam_id="E0", right_malignant="", right_benign=""), *ROWS[1:]]]
    rows = [rows[0], *(text[:-1] + "1" for text in rows[1:])]
    points(tmp_path / "marks" / "E0.mrk.json", ("F-1", [1, 2, 3]))
    assert run(tmp_path, header=HEADER + ",right_imaged", rows=rows) == 0
    assert [it.side for it in load(tmp_path / "list.json").exams[0].lesions] == ["L"]


@pytest.mark.parametrize(("name", "label", "says"), [
    ("E9.mrk.json", "L", "E9.mrk.json: is named after no exam"),
    ("E1.mrk.json", "F-1", "E1.mrk.json: point 1 does not say which imaged breast"),
    ("E1.mrk.json", "L or R", "point 1 does not say which imaged breast"),
    ("10.mrk.json", "L", "10.mrk.json: exam 10 is not in the exams' sheet, but 010 is"),
    ("E1.json", "L", "--points marks: no folder with .mrk.json files"),
])
def test_points_that_are_refused(tmp_path: Path, capsys, name: str, label: str, says: str) -> None:
    points(tmp_path / "marks" / name, (label, [1, 2, 3]))
    assert run(tmp_path) == 2
    assert says in capsys.readouterr().err
    if "10." in name:
        assert run(tmp_path, "--yes") == 0
        assert len(load(tmp_path / "list.json").exams[-1].lesions) == 1


def test_points_and_a_sheet_of_lesions_are_one_too_many(tmp_path: Path, capsys) -> None:
    points(tmp_path / "marks" / "E1.mrk.json", ("L", [1, 2, 3]))
    assert main([*sheet(tmp_path, rows=ROWS, lesions=["E1,L,1,2,3,1"]), "--points", str(tmp_path / "marks")]) == 2
    assert "lesions come from one of them" in capsys.readouterr().err
