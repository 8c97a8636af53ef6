"""Reading tables: texts stay texts, and what is wrong is said with its row and column."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import openpyxl
import pytest

from pipeline.errors import InputError
from pipeline.files.tables import read_columns, read_results, read_table


def test_cells_stay_texts_and_numbers_are_read_as_written(tmp_path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfexam_id;x_mm;note\r\n001;1,5;\r\n\r\n002;-2;a\r\n")
    rows = read_table(tmp_path / "t.csv", ["exam_id", "x_mm"])
    assert [(row.text("exam_id"), row.number_in("x_mm"), row.number) for row in rows] == [("001", 1.5, 2),
                                                                                        ("002", -2.0, 4)]


@pytest.mark.parametrize("content, said", [
    ("exam_id,x_mm\nE1,secret\n", "row 2: `x_mm` is not a number"), ("exam_id,x_mm\nE1,\n", "row 2: `x_mm` is empty"),
    ("exam_id\nE1\n", "column `x_mm` is missing"), ("", "empty; its first row"),
    ("exam_id,x_mm\nE1,nan\n", "row 2: `x_mm` is not a number"), ("exam_id,x_mm,x_mm\nE1,1,2\n", "there twice"),
])
def test_faults_are_named_and_no_cell_is_quoted(tmp_path, content, said) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(InputError, match=said) as raised:
        for row in read_table(tmp_path / "t.csv", ["exam_id", "x_mm"]):
            row.required_number("x_mm")
    assert "secret" not in str(raised.value)


def test_our_own_tables_keep_groups_called_na(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("exam_id,group_scanner\n001,NA\n")
    table = read_results(tmp_path / "t.csv", ["exam_id"], "run it again", dtype=str)
    assert table.to_dict("records") == [{"exam_id": "001", "group_scanner": "NA"}]
    with pytest.raises(InputError, match="column score is missing; run it again"):
        read_results(tmp_path / "t.csv", ["score"], "run it again")
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_results(tmp_path / "none.csv", ["score"], "run it again")


def workbook(path: Path, rows: list[list[object]], sheet: str = "Data", first: str | None = None) -> Path:
    book = openpyxl.Workbook()
    page = book.active
    page.title = first or sheet
    if first:
        page.append(["nothing"])
        page = book.create_sheet(sheet)
    for row in rows:
        page.append(row)
    book.save(path)
    return path


def test_a_sheet_is_read_by_name_with_its_header_below_others_and_a_legend(tmp_path: Path) -> None:
    rows = [["group", None, "other"], ["Patient ID", "Side (1=right)", "Value", None], ["text", "code", "number"],
            ["001", 1, 2.5], [None, None, None], ["002", -1, "about 3", "a note beside"], [7, 2.0, 4]]
    path = workbook(tmp_path / "a.xlsx", rows, first="Cover")
    names = {"patient id": "id", "side": "side", "value": "value"}
    found = read_table(path, ["id", "side"], lambda title: names.get(title.split("(")[0].strip().lower(), ""),
                       sheet="Data", header=2, legend=1, missing=("-1",))
    assert [(row.number, row.text("id"), row.text("side")) for row in found] == [
        (4, "001", "1"), (6, "002", ""), (7, "7", "2")]
    assert found[0].number_in("value") == 2.5
    with pytest.raises(InputError, match=r"a\.xlsx, row 6: `value` is not a number"):
        found[1].number_in("value")
    with pytest.raises(InputError, match=r"has no sheet `Sheet9`"):
        read_table(path, sheet="Sheet9")
    with pytest.raises(InputError, match="column `laterality` is missing"):
        read_table(path, ["laterality"], str.lower, sheet="Data", header=2)


@pytest.mark.parametrize(("name", "content", "text"), [
    ("a.xlsx", b"PK\x03\x04 and no more", "not an Excel workbook"),
    ("a.xlsx", b"id,side\n1,2\n", "not an Excel workbook"),
    ("a.xls", b"\xd0\xcf\x11\xe0", "old Excel workbook"), ("a.csv", b"\x80\x04\x95pickle", "not a text in UTF-8")])
def test_other_files_under_a_table_s_name_are_refused(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=text):
        read_table(tmp_path / name)


def test_workbooks_without_openpyxl_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx", [["id"], [1]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match="pip install openpyxl"):
        read_table(path)


def test_a_cell_stands_for_one_of_what_is_known_and_is_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("side\nLEFT\nJane Doe\n")
    rows = read_table(tmp_path / "a.csv")
    assert rows[0].choice("side", {"left": "L", "right": "R"}) == "L"
    with pytest.raises(InputError, match=r"a\.csv, row 3: `side` is none of left, right") as caught:
        rows[1].choice("side", {"left": "L", "right": "R"})
    assert "Jane" not in str(caught.value)


@pytest.mark.parametrize("text", ["id,side\n1,L,x\n", "id,side\n1\n", 'id,side\n"1,L\n', "", "id\n1\n",
                                  "id,side,\n1,L,3\n", "id,side\n1,L\0\n", "id,side,side\n1,2,3\n"])
def test_long_tables_are_refused_in_the_words_of_short_ones(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    said = []
    for read in (lambda: read_table(tmp_path / "a.csv", ["id", "side"], str.lower),
                 lambda: read_columns(tmp_path / "a.csv", ["id", "side"])):
        with pytest.raises(InputError) as caught:
            read()
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_a_long_table_is_read_in_seconds(tmp_path: Path) -> None:
    wide = ",".join(f"c{k}" for k in range(15))
    (tmp_path / "a.csv").write_text(f"\ufeff{wide}\n" + "".join(f"{i},{' x ,' * 13}\n" for i in range(20_000)))
    begun = time.perf_counter()
    table = read_columns(tmp_path / "a.csv", ["c0", "c3"])
    rows = read_table(tmp_path / "a.csv")
    assert time.perf_counter() - begun < 8, "100,000 rows must take less than 10 s"
    assert table.loc[2].tolist() == ["0", "x"] and len(table) == len(rows) == 20_000
