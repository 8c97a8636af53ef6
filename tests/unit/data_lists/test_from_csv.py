"""The spreadsheet converter: what it accepts, what it refuses and how, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sheets import HEADER, LESIONS, ROWS, refused, row, sheet

from data_lists.__main__ import main
from pipeline.datalist import load


def test_what_is_written(tmp_path: Path) -> None:
    header = HEADER + ",group_Density,reader1_left,reader1_right,reader2_exam,note_x"
    rows = [f"{text},c,4,,2.5,seen" for text in ROWS]
    arguments = sheet(tmp_path, header=header, rows=rows, lesions=["000,left,-40.5,3,0,1", "001,R,7,8,9,"])
    assert main(arguments) == 0
    datalist = load(tmp_path / "list.json")
    assert (datalist.name, datalist.modality, datalist.root) == ("list", "MR", tmp_path)
    assert datalist.folds == {"count": 5, "seed": 0}
    exam = datalist.exams[0]
    assert (exam.exam_id, exam.patient_id) == ("000", "SECRET0")  # ids stay texts
    assert exam.images == {"pre": "000/pre.nii.gz", "post1": "000/post1.nii.gz"}
    assert exam.breasts == {"L": {"malignant": 1, "benign": 0}, "R": {"malignant": None, "benign": 1}}
    assert exam.readers == {"reader1": {"L": 4.0}, "reader2": {"exam": 2.5}}
    assert exam.groups == {"Density": "c"}
    assert [(it.side, it.center_mm, it.malignant, it.lesion_id) for it in exam.lesions] == [
        ("L", (-40.5, 3.0, 0.0), 1, "1")]
    assert datalist.exams[1].lesions[0].malignant is None
    assert all(exam.fold in range(5) for exam in datalist.exams)


def test_lps_centres_are_turned_to_ras(tmp_path: Path) -> None:
    assert main([*sheet(tmp_path, lesions=["000,L,40.5,-3,12,1", "000,L,0,0,0,1"]), "--lps"]) == 0
    assert [it.center_mm for it in load(tmp_path / "list.json").exams[0].lesions] == [
        (-40.5, 3.0, 12.0), (0.0, 0.0, 0.0)]
    assert "-0.0" not in (tmp_path / "list.json").read_text()


def test_images_of_other_names_and_missing_ones(tmp_path: Path) -> None:
    header, rows = HEADER.replace("pre,post1", "T1w,Sub"), [*ROWS]
    rows[0] = row(post1="")
    assert main([*sheet(tmp_path, header=header, rows=rows), "--images", "T1w,Sub"]) == 0
    exams = load(tmp_path / "list.json").exams
    assert exams[0].images == {"T1w": "000/pre.nii.gz"} and set(exams[1].images) == {"T1w", "Sub"}


def test_paths_are_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "a.nii").touch()
    (tmp_path / "data" / "sub" / "b.nii").touch()
    rows = [row(pre=str(tmp_path / "data" / "a.nii"), post1=r"sub\b.nii"), *ROWS[1:]]
    assert main([*sheet(tmp_path, rows=rows), "--root", str(tmp_path / "data")]) == 0
    datalist = load(tmp_path / "list.json")
    assert datalist.exams[0].images == {"pre": "a.nii", "post1": "sub/b.nii"}
    assert datalist.root == tmp_path / "data"


def test_a_breast_that_was_not_imaged_is_left_out(tmp_path: Path) -> None:
    header = HEADER + ",right_imaged"
    rows = [row(right_benign="", right_imaged="0"), *(f"{text}," for text in ROWS[1:])]
    assert main(sheet(tmp_path, header=header, rows=rows)) == 0
    exams = load(tmp_path / "list.json").exams
    assert set(exams[0].breasts) == {"L"} and set(exams[1].breasts) == {"L", "R"}


def test_given_folds_are_kept(tmp_path: Path) -> None:
    rows = [f"{text},{i % 4}" for i, text in enumerate(ROWS)]
    assert main(sheet(tmp_path, header=HEADER + ",fold", rows=rows)) == 0
    datalist = load(tmp_path / "list.json")
    assert [exam.fold for exam in datalist.exams] == [i % 4 for i in range(20)]
    assert datalist.folds["count"] == 4
    for fold in range(4):  # a quarter of the remaining 15 validates
        assert 3 <= sum(exam.split(fold) == "validation" for exam in datalist.exams) <= 4


@pytest.mark.parametrize(("header", "changed", "says"), [
    (HEADER.replace("patient_id,", ""), None, "exams.csv: column `patient_id` is missing"),
    (HEADER.replace("left_malignant", "outcome"), None, "column `left_malignant` is missing"),
    (HEADER, row(patient_id="unknown"), "row 2: `patient_id` says that it is not known"),
    (HEADER.replace("post1", "pre"), None, "column `pre` is there twice"),
    (HEADER.replace("pre,post1", "note_a,note_b"), None, "no image column"),
    (HEADER, row(left_malignant="2"), "exams.csv, row 2: `left_malignant` is neither 0, 1 nor empty"),
    (HEADER, row(right_benign="maybe"), "row 2: `right_benign`"),
    (HEADER, row(exam_id=""), "row 2: `exam_id` is empty"),
    (HEADER, row(patient_id=""), "row 2: `patient_id` is empty"),
    (HEADER, row(exam_id="../x"), "row 2: `exam_id` may hold"),
    (HEADER, row(exam_id="001"), "row 3: exam 001 is there a second time"),
    (HEADER, row(pre="", post1=""), "row 2: exam 000 has no image"),
    (HEADER, row(pre="../a.nii"), "row 2: `pre` lies outside the root"),
    (HEADER, row(pre="/SECRET/a.nii"), "row 2: `pre` lies outside the root"),
    (HEADER, row(more="x"), "row 2: 9 cells below 8 columns"),
    (HEADER, "000,SECRET0,a.nii", "row 2: 3 cells below 8 columns"),
    (HEADER, row(pre='"a.nii'), "quotation marks"),
])
def test_exams_that_are_refused(
    tmp_path: Path, capsys, header: str, changed: str | None, says: str
) -> None:
    rows = ROWS if changed is None else [changed, *ROWS[1:]]
    assert says in refused(sheet(tmp_path, header=header, rows=rows), capsys)


@pytest.mark.parametrize(("column", "cells", "says"), [
    ("left_imaged", ["0"] + [""] * 19, "row 2: exam 000 has labels for its left breast"),
    ("reader1_left", ["high"] + ["1"] * 19, "row 2: `reader1_left` is not a number"),
    ("reader1_left", ["1,5"] + ["1"] * 19, "row 2: 10 cells below 9 columns"),
    ("reader1_left", ["1_5"] + ["1"] * 19, "row 2: `reader1_left` is not a number"),
    ("fold", ["a"] + ["0"] * 19, "row 2: `fold` is not a whole number"),
    ("fold", [""] + ["0"] * 19, "exam 000 has no `fold`"),
    ("fold", ["0", "2"] * 10, "`fold` must count"),
    ("fold", ["0"] * 20, "1 folds cannot be made"),
    ("", ["x"] + [""] * 19, "row 2: a cell in a column without a name"),
])
def test_more_columns_that_are_refused(tmp_path: Path, capsys, column: str, cells: list, says: str) -> None:
    rows = [f"{text},{cell}" for text, cell in zip(ROWS, cells, strict=True)]
    assert says in refused(sheet(tmp_path, header=f"{HEADER},{column}", rows=rows), capsys)


def test_a_patient_in_two_given_folds_is_refused(tmp_path: Path, capsys) -> None:
    rows = [f"{text},{i % 2}" for i, text in enumerate([row(patient_id="SECRET1"), *ROWS[1:]])]
    assert "exams 000 and 001 are one patient's" in refused(
        sheet(tmp_path, header=HEADER + ",fold", rows=rows), capsys)


@pytest.mark.parametrize(("lesion", "says"), [
    ("999,L,1,2,3,1", "lesions.csv, row 2: exam 999 is not in the exams' sheet"),
    ("000,L,left,2,3,1", "lesions.csv, row 2: `x_mm` is not a number"),
    ("000,L,1,nan,3,1", "row 2: `y_mm` is not a number"),
    ("000,L,1,2,,1", "row 2: `z_mm` is empty"),
    ("000,B,1,2,3,1", "row 2: `side`"),
    ("000,lower,1,2,3,1", "row 2: `side`"),
    ("000,L,1,2,3,maybe", "row 2: `malignant`"),
])
def test_lesions_that_are_refused(tmp_path: Path, capsys, lesion: str, says: str) -> None:
    assert says in refused(sheet(tmp_path, lesions=[lesion]), capsys)


def test_columns_of_lesions(tmp_path: Path, capsys) -> None:
    arguments = sheet(tmp_path, lesions=[])
    lesions = tmp_path / "lesions.csv"
    lesions.write_text("exam_id,side,x_mm,y_mm\n")
    assert "lesions.csv: column `z_mm`, `malignant` is missing" in refused(arguments, capsys)
    lesions.write_text(LESIONS + ",lesion_id,diameter_mm,kinetics,margin,note_a\n000,L,1,2,3,1,a,9,,,\n")
    assert main(arguments) == 0
    lesion = load(tmp_path / "list.json").exams[0].lesions[0]
    assert (lesion.lesion_id, lesion.size_mm) == ("a", (9.0, 9.0, 9.0))
    assert "left out" not in capsys.readouterr().err
    capsys.readouterr()
    lesions.write_text(LESIONS + ",lesion_id\n000,L,1,2,3,1,a\n000,L,1,2,4,1,a\n")
    (tmp_path / "list.json").unlink()
    assert "row 3: lesion a of exam 000 is there a second time" in refused(arguments, capsys)


def test_sizes_of_lesions(tmp_path: Path, capsys) -> None:
    arguments = sheet(tmp_path, lesions=[])
    lesions = tmp_path / "lesions.csv"
    columns = ",size_x_mm,size_y_mm,size_z_mm,Diameter (mm)"
    lesions.write_text(f"{LESIONS}{columns}\n000,L,1,2,3,1,9,8.5,7,\n000,L,1,2,9,1,,,,6\n000,L,1,2,20,0,NA,,,\n")
    assert main([*arguments, "--lps"]) == 0  # a size is the same whichever way round the axes run
    assert [m.size_mm for m in load(tmp_path / "list.json").exams[0].lesions] == [(9.0, 8.5, 7.0), (6.0, 6.0, 6.0),
                                                                                None]
    capsys.readouterr()
    (tmp_path / "list.json").unlink()
    for cells in ("9,8,,", "0,0,0,", ",,,-1"):
        lesions.write_text(f"{LESIONS}{columns}\n000,L,1,2,3,1,{cells}\n")
        assert "row 2: a lesion's size is three lengths above 0" in refused(arguments, capsys)


def test_a_refused_sheet_keeps_the_list_of_before(tmp_path: Path, capsys) -> None:
    assert main(sheet(tmp_path)) == 0
    before = (tmp_path / "list.json").read_bytes()
    assert main(sheet(tmp_path, rows=[row(left_malignant="2"), *ROWS[1:]])) == 2
    assert (tmp_path / "list.json").read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.is_file()) == ["exams.csv", "list.json"]


def test_the_same_sheet_gives_the_same_file(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        assert main([*sheet(tmp_path), "--seed", "3"]) == 0
        written.append((tmp_path / "list.json").read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0])["folds"] == {"count": 5, "seed": 3}


def test_what_spreadsheet_programs_write(tmp_path: Path) -> None:
    """A byte order mark, CR LF, semicolons, decimal commas, spaces, empty rows and an empty last column."""
    arguments = sheet(tmp_path, lesions=[])
    head = HEADER.replace(",", ";").replace("exam_id", "Exam_ID ") + ";reader1_left;"
    body = [text.replace(",", ";").replace(";1;0;", "; 1,0 ;0;") + ";2,5;" for text in ROWS]
    text = "\r\n".join([head, *body[:3], ";" * 9, *body[3:], ";" * 9, "", ""])
    tmp_path.joinpath("exams.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    tmp_path.joinpath("lesions.csv").write_text(LESIONS.replace(",", ";") + "\n000;L;-40,5;1e1;0;1\n")
    assert main(arguments) == 0
    exams = load(tmp_path / "list.json").exams
    assert [exam.exam_id for exam in exams] == [f"00{i}" for i in range(20)]
    assert exams[0].breasts["L"]["malignant"] == 1 and exams[0].readers == {"reader1": {"L": 2.5}}
    assert exams[0].lesions[0].center_mm == (-40.5, 10.0, 0.0)


def test_quoted_texts_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    arguments = sheet(tmp_path, header=HEADER + ",note_a", rows=[f'{text},"a, b\n""c"""' for text in ROWS])
    assert main(arguments) == 0
    assert len(load(tmp_path / "list.json").exams) == 20


@pytest.mark.parametrize("content", [b"", b"\n\n", b"PK\x03\x04\xff\xfe", "exam_id\n".encode("utf-16")])
def test_files_that_are_no_sheet(tmp_path: Path, capsys, content: bytes) -> None:
    arguments = sheet(tmp_path)
    tmp_path.joinpath("exams.csv").write_bytes(content)
    assert "exams.csv" in refused(arguments, capsys)


def test_header_without_exams(tmp_path: Path, capsys) -> None:
    assert "no exam" in refused(sheet(tmp_path, rows=[]), capsys)
