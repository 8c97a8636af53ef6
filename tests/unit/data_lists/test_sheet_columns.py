"""Spreadsheets as people have them: nine habits, each converted or met with one clear question."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest
import yaml
from sheets import HEADER, LESIONS, ROWS, row, sheet

from data_lists.__main__ import main
from pipeline.datalist import load

ROOT = Path(__file__).parents[3]


def in_words(column: int, zero: str, one: str) -> list[str]:
    """The rows with a label's column written in words."""
    cells = [text.split(",") for text in ROWS]
    return [",".join([*row[:column], {"0": zero, "1": one}.get(row[column], row[column]), *row[column + 1 :]])
            for row in cells]


HABITS = {  # habit -> (header, rows, lesions, what the question or the note says, whether --yes is needed)
    "names of other people": (HEADER.replace("patient_id", "Patient ID").replace("pre,post1", "T1 pre,T1 post 1"),
                              ROWS, None, "is `T1 pre` the column `pre` and 1 more?", True),
    "more columns": (HEADER + ",Age,BIRADS", [f"{text},4{i % 10},4a" for i, text in enumerate(ROWS)], None,
                     "columns left out: `Age`, `BIRADS`", False),
    "TRUE and FALSE": (HEADER, in_words(4, "FALSE", "TRUE"), None, "yes, TRUE and the like are read as 1", False),
    "yes and no": (HEADER, in_words(4, "no", "Yes"), None, "yes, TRUE and the like are read as 1", False),
    "NA": (HEADER, [text.replace(",,", ",NA,") for text in ROWS], None, "NA and the like are read as unknown", False),
    "ids that lost their zeros": (HEADER, ROWS, ["0,L,1,2,3,1", "7,R,1,2,3,0"],
                                  "exam 0 is not in the exams' sheet, but 000 is", True),
    "decimal commas": (HEADER.replace(",", ";"), [text.replace(",", ";") for text in ROWS], None, "", False),
    "paths of Windows": (HEADER, [text.replace("/", "\\") for text in ROWS], None, "", False),
}


@pytest.mark.parametrize("habit", HABITS)
def test_a_habit_is_converted_or_asked_about_once(tmp_path: Path, capsys, habit: str) -> None:
    header, rows, lesions, says, asks = HABITS[habit]
    assert main(sheet(tmp_path)) == 0
    expected = load(tmp_path / "list.json").exams
    (tmp_path / "list.json").unlink()
    arguments = sheet(tmp_path, header=header, rows=rows, lesions=lesions)
    capsys.readouterr()
    if asks:
        assert main(arguments) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1 and says in err and "--yes" in err and "SECRET" not in err
    assert main([*arguments, *(["--yes"] if asks else [])]) == 0
    said = capsys.readouterr()
    assert asks or says in said.err
    assert "SECRET" not in said.out + said.err
    found = load(tmp_path / "list.json").exams
    for exam in found if lesions else ():
        assert [lesion.side for lesion in exam.lesions] == {"000": ["L"], "007": ["R"]}.get(exam.exam_id, [])
        exam.lesions = []
    assert found == expected


def test_a_workbook_s_first_sheet_with_its_own_booleans_and_numbers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(HEADER.split(","))
    arguments = sheet(tmp_path)
    assert main(arguments) == 0
    expected = load(tmp_path / "list.json").exams
    for text in ROWS:
        cells = text.split(",")
        book.active.append([*cells[:4], cells[4] == "1", int(cells[5]), None, 1.0])
    book.save(tmp_path / "exams.xlsx")
    assert main(["csv", str(tmp_path / "exams.xlsx"), "-o", str(tmp_path / "list.json")]) == 0
    assert load(tmp_path / "list.json").exams == expected


def test_what_is_proposed_is_a_mapping_that_can_be_given_back(tmp_path: Path, capsys) -> None:
    header = HEADER.replace("exam_id", "Case").replace("left_malignant", "cancer (left)").replace("post1", "dyn1")
    arguments = sheet(tmp_path, header=header + ",Age", rows=[f"{text},50" for text in ROWS],
                      lesions=["000,L,1,2,3,1"])
    lesions = tmp_path / "lesions.csv"
    lesions.write_text(LESIONS.replace("x_mm", "center x (mm)").replace("side", "Laterality") + "\n000,L,1,2,3,yes\n")
    assert main(arguments) == 2
    said = capsys.readouterr()
    proposal = yaml.safe_load(said.out)
    assert proposal["exams.csv"]["Case"] == "exam_id" and proposal["exams.csv"]["cancer (left)"] == "left_malignant"
    assert proposal["exams.csv"]["dyn1"] == "post1" and proposal["exams.csv"]["Age"] is None
    assert proposal["lesions.csv"]["center x (mm)"] == "x_mm" and proposal["lesions.csv"]["Laterality"] == "side"
    (tmp_path / "map.yaml").write_text(said.out)
    assert main([*arguments, "--map", str(tmp_path / "map.yaml")]) == 0
    exam = load(tmp_path / "list.json").exams[0]
    assert exam.breasts["L"] == {"malignant": 1, "benign": 0} and exam.lesions[0].center_mm == (1.0, 2.0, 3.0)
    capsys.readouterr()
    for change, says in ((("dyn1: post1", "dyn1: post 1"), "`post 1` is no column of ours"),
                         (("dyn1", "dyn 1"), "exams.csv has no column `dyn 1`")):
        (tmp_path / "map.yaml").write_text(said.out.replace('"dyn1"', "dyn1").replace(*change))
        assert main([*arguments, "--map", str(tmp_path / "map.yaml")]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(("column", "cells"), [("T2", "2"), ("Pre", "yes"), ("Patient name", "A, B")])
def test_columns_that_hold_something_else_are_left_out(tmp_path: Path, capsys, column: str, cells: str) -> None:
    """A tumour's stage is no contrast, and a name no id."""
    header = HEADER.replace("pre", "post2") + f",{column}"
    assert main([*sheet(tmp_path, header=header, rows=[f'{text},"{cells}"' for text in ROWS]), "--yes"]) == 0
    assert f"left out: `{column}`" in capsys.readouterr().err
    assert set(load(tmp_path / "list.json").exams[0].images) == {"post2", "post1"}


@pytest.mark.parametrize("title", ["left breast malignancy", "Cancer L", "malignant_left"])
def test_labels_by_their_words(tmp_path: Path, title: str) -> None:
    assert main([*sheet(tmp_path, header=HEADER.replace("left_malignant", title)), "--yes"]) == 0
    assert load(tmp_path / "list.json").exams[0].breasts["L"]["malignant"] == 1


def test_views_as_people_write_them(tmp_path: Path) -> None:
    for view in ("a", "b"):
        (tmp_path / f"{view}.png").touch()
    rows = [f"{i},P{i},a.png,b.png,{i % 2},0" for i in range(10)]
    (tmp_path / "exams.csv").write_text("\n".join(
        ["Exam ID,Patient ID,LCC,R MLO,Left Malignant,Right Malignant", *rows]))
    assert main(["csv", str(tmp_path / "exams.csv"), "--modality", "MG", "-o", str(tmp_path / "list.json")]) == 0
    assert load(tmp_path / "list.json").exams[0].images == {"L-CC": "a.png", "R-MLO": "b.png"}


def test_images_that_are_not_there(tmp_path: Path, capsys) -> None:
    arguments = sheet(tmp_path)
    (tmp_path / "003" / "pre.nii.gz").unlink()
    assert main(arguments) == 0
    assert "1 of 40 images are not there, the first of them exam 003, `pre`" in capsys.readouterr().err
    (tmp_path / "elsewhere").mkdir()
    assert main([*arguments, "--root", str(tmp_path / "elsewhere")]) == 2
    assert "none of the 40 images is there" in capsys.readouterr().err
    assert main([*arguments, "--root", str(tmp_path / "elsewhere"), "--yes"]) == 0


def test_without_lesions_what_cannot_be_trained_is_said(tmp_path: Path, capsys) -> None:
    assert main(sheet(tmp_path)) == 0
    note = capsys.readouterr().err
    assert "stage 1 (train_patches.yaml)" in note
    study = yaml.safe_load((ROOT / "bundles/breast_mri_curriculum/configs/study.yaml").read_text())
    for variant in note.strip().rpartition(" ")[2].split(","):
        stages = study["variants"][variant]["stages"]
        assert not any("train_patches.yaml" in stage["configs"] for stage in stages)
    assert main(sheet(tmp_path, lesions=["000,L,1,2,3,1"])) == 0
    assert "no lesion" not in capsys.readouterr().err


def test_an_id_that_fits_two_exams_is_not_guessed(tmp_path: Path, capsys) -> None:
    arguments = sheet(tmp_path, rows=[row(exam_id="01"), *ROWS[1:]], lesions=["1,L,1,2,3,1"])
    assert main([*arguments, "--yes"]) == 2
    assert "exam 1 is not in the exams' sheet; add it there" in capsys.readouterr().err
