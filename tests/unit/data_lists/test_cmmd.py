"""The CMMD converter: side and view from headers, breasts without a row unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openpyxl
import pydicom
import pytest
from pydicom.dataset import Dataset

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.verify import verify

ROWS = [["D1-0001", "L", 44, 2, "mass", "Benign", None], ["D1-0002", "R", 44, 2, "calcification", "Malignant", None],
        ["D2-0001", "L", 50, 2, "both", "Malignant", "Luminal A"], ["D2-0001", "R", 50, 2, "mass", "Benign", None],
        *[[f"D1-000{k}", "L", 50, 2, "mass", "Malignant" if k % 2 else "Benign", None] for k in range(3, 8)]]
CODES = {"CC": "399162004", "MLO": "399368009"}


def write_table(root: Path, rows: list[list[Any]] = ROWS) -> None:
    book = openpyxl.Workbook()
    book.active.append(["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"])
    for row in rows:
        book.active.append(row)
    book.save(root / "CMMD_clinicaldata_revision.xlsx")


@pytest.fixture
def cmmd(tmp_path: Path, make_mammogram: Any) -> Path:
    """Four images a patient in no order; the header has the view's code alone."""
    root = tmp_path / "cmmd"
    for patient in sorted({row[0] for row in ROWS}):
        folder = root / "CMMD" / patient / "07-18-2010-49690" / "1.000000-35817"
        for k, (side, view) in enumerate([("R", "MLO"), ("L", "CC"), ("L", "MLO"), ("R", "CC")], start=1):
            code = Dataset()
            code.CodeValue = CODES[view]
            make_mammogram(folder / f"1-{k}.dcm", side, ImageLaterality=side, PatientID=patient, bits=8,
                           ViewCodeSequence=[code], PatientOrientation=["A", "R"] if side == "L" else ["P", "L"])
    write_table(root)
    return root


def convert(root: Path, *options: str) -> int:
    return main(["cmmd", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_views_by_header_and_breasts_without_a_row_are_unknown(cmmd: Path) -> None:
    assert convert(cmmd) == 0
    found = exams(cmmd)
    assert [path[-7:] for path in found["D1-0001"].images.values()] == ["1-2.dcm", "1-3.dcm", "1-4.dcm", "1-1.dcm"]
    assert found["D1-0001"].breasts == {"L": {"malignant": 0, "benign": 1}, "R": {"malignant": None, "benign": None}}
    assert [b["malignant"] for b in found["D2-0001"].breasts.values()] == [1, 0]
    assert found["D2-0001"].groups == {"subset": "D2", "finding": "both+mass"}
    assert not [i for i in verify(load(cmmd.parent / "list.json")) if i.severity == "error"]
    assert convert(cmmd, "--drop-unlabelled") == 0
    assert list(exams(cmmd)["D1-0001"].images) == ["L-CC", "L-MLO"] and list(exams(cmmd)["D1-0002"].breasts) == ["R"]


@pytest.mark.parametrize(("rows", "text"), [
    ([*ROWS, ROWS[0]], "row 11: breast L of D1-0001 is there a second time"),
    ([["Jane Doe", *ROWS[0][1:]]], "row 2: `ID1` is not like D1-0001"),
    ([[*ROWS[0][:5], "1", None]], "row 2: `classification` is none of malignant, benign"),
    ([["D1-0999", *ROWS[0][1:]]], "1 of 1 listed images are not there, the first is D1-0999"),
])
def test_what_is_refused_in_one_line(cmmd: Path, capsys: pytest.CaptureFixture[str], rows: Any, text: str) -> None:
    write_table(cmmd, rows)
    assert convert(cmmd) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1 and "Jane" not in error


def test_images_that_say_neither_side_nor_view_are_refused(cmmd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = next(cmmd.rglob("1-1.dcm"))
    file = pydicom.dcmread(path)
    del file.ViewCodeSequence
    file.save_as(path)
    assert convert(cmmd) == 2 and "does not say side and view" in capsys.readouterr().err
