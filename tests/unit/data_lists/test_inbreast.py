"""The INbreast converter: assessments with letters, totals at the end, contours to boxes."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load

HEADER = "Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads;Mass ;Micros"
IMAGES = [  # file, patient, side, view, BI-RADS
    ("20586908", "aa", "L", "CC", "4a"), ("20586934", "aa", "L", "MLO", "2"), ("20586960", "aa", "R", "CC", "1"),
    ("20587054", "bb", "R", "MLO", "3"),
    *[(f"2058800{k}", f"c{k}", "L", "CC", "6" if k % 2 else "1") for k in range(5)]]


@pytest.fixture
def inbreast(tmp_path: Path) -> Path:
    root = tmp_path / "inbreast"
    (root / "AllDICOMs").mkdir(parents=True)
    (root / "AllXML").mkdir()
    lines = [HEADER]
    for name, patient, side, view, birads in IMAGES:
        lines.append(f"removed;removed;{side};{view};201001;{name};2;{birads};X;")
        (root / "AllDICOMs" / f"{name}_{patient}_MG_{side}_{view}_ANON.dcm").touch()
    (root / "INbreast.csv").write_text("\n".join([*lines, ";;;;;;;;107;310", ";;;;;total;;;1;2"]) + "\n")
    points = ["(10.5, 20.25)", "(30.0, 22.0)", "(12.0, 41.9)"]
    rois = [{"Name": "Mass", "Point_px": points}, {"Name": "Calcification", "Point_px": ["(1.0, 1.0)"]}]
    for name in ("20586908", "20586934"):
        (root / "AllXML" / f"{name}.xml").write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 0, "ROIs": rois}]}))
    return root


def convert(root: Path) -> int:
    return main(["inbreast", str(root), "-o", str(root.parent / "list.json"), "--folds", "2"])


def test_assessments_patients_and_boxes(inbreast: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(inbreast) == 0
    found: dict[str, Exam] = {exam.exam_id: exam for exam in load(inbreast.parent / "list.json").exams}
    assert set(found) == {"aa_201001", "bb_201001", *(f"c{k}_201001" for k in range(5))}
    first = found["aa_201001"]
    assert first.breasts == {"L": {"malignant": 1, "benign": None}, "R": {"malignant": 0, "benign": 0}}
    assert found["bb_201001"].breasts == {"R": {"malignant": 0, "benign": 1}}
    # x 10.5 … 30, y 20.25 … 41.9 to rows and columns that hold them
    assert [(f.view, f.box, f.malignant) for f in first.findings] == [
        ("L-CC", (20, 10, 42, 31), None), ("L-MLO", (20, 10, 42, 31), 0)]
    assert load(inbreast.parent / "list.json").truth == "birads"
    assert "2 rows that are no image" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "text"), [
    (("Bi-Rads", "Birads"), "column `bi-rads` is missing"),
    ((";4a;", ";4x;"), "row 2: `bi-rads` is none of 1, 2"),
    (("removed;removed;L;CC", "removed;removed;R;CC"), "row 2: `Laterality` contradicts the image's file name"),
    (("20586934", "20586908"), "row 3: this image is there a second time"),
    (("20586934", "11111111"), "the first is 11111111_….dcm"),
])
def test_what_is_refused_in_one_line(inbreast: Path, capsys: pytest.CaptureFixture[str], change: Any,
                                     text: str) -> None:
    table = inbreast / "INbreast.csv"
    table.write_text(table.read_text().replace(*change, 1))
    assert convert(inbreast) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1


def test_old_workbooks_and_damaged_contours(inbreast: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inbreast / "AllXML" / "20586908.xml").write_bytes(b"\x80\x04\x95pickle")
    assert convert(inbreast) == 2 and "20586908.xml: not a file of contours" in capsys.readouterr().err
    (inbreast / "INbreast.csv").rename(inbreast / "INbreast.xls")
    assert convert(inbreast) == 2 and "old Excel workbook" in capsys.readouterr().err
