"""Reading tables: texts stay texts, and what is wrong is said with its row and column."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.files.tables import read_results, read_table


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
