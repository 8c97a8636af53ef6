"""Tables as spreadsheet programs write them, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sheets import HEADER, LESIONS, ROWS, refused, sheet

from data_lists.__main__ import main
from pipeline.datalist import load


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
