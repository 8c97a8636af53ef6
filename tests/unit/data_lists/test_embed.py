"""The EMBED converter: findings joined to sides, pathology of later examinations, boxes of its own order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load

CLINICAL = "empi_anon,acc_anon,study_date_anon,desc,tissueden,asses,numfind,side,path_severity,path1"
IMAGES = ("anon_dicom_path,empi_anon,acc_anon,study_date_anon,FinalImageType,ImageLateralityFinal,ViewPosition,"
          "spot_mag,num_roi,ROI_coords")
PICTURES = [("CC", "2D", "", '"((100, 20, 150, 60), (5, 6, 7, 8))"'), ("MLO", "2D", "", "()"),
            ("CC", "cview", "", "()"), ("CC", "2D", "1.0", "()"), ("ML", "2D", "", "()")]
SCREEN, DIAGNOSTIC = "MG Screening Bilateral", "MG Diagnostic Left"
FINDINGS = [  # patient, exam, date, description, density, assessment, side, severity
    ("01", "11", "2015-03-01", SCREEN, 3, "A", "L", ""), ("01", "12", "2015-04-01", DIAGNOSTIC, 3, "M", "L", "0.0"),
    ("02", "21", "2015-03-01", SCREEN, 2, "A", "R", ""), ("02", "22", "2015-05-01", DIAGNOSTIC, 2, "S", "R", "4"),
    ("03", "31", "2015-03-01", SCREEN, 1, "N", "", ""), ("04", "41", "2015-03-01", SCREEN, 1, "A", "L", ""),
    ("05", "51", "2015-03-01", SCREEN, 4, "B", "B", ""), ("06", "61", "2013-03-01", SCREEN, 4, "N", "", ""),
    ("06", "62", "2015-04-01", DIAGNOSTIC, 4, "K", "L", "1")]


@pytest.fixture
def embed(tmp_path: Path) -> Path:
    root = tmp_path / "embed"
    (root / "tables").mkdir(parents=True)
    rows = [",".join(map(str, [p, e, d, t, den, a, 1, s, sev, ""])) for p, e, d, t, den, a, s, sev in FINDINGS]
    (root / "tables" / "EMBED_OpenData_clinical.csv").write_text("\n".join([CLINICAL, *rows]) + "\n")
    lines = [IMAGES]
    for patient, exam in sorted({(p, e) for p, e, *_ in FINDINGS}):
        for side in "LR":
            for view, kind, spot, box in PICTURES:
                name = f"{exam}{side}{view}{kind}{spot}.dcm"
                lines.append(f"/mnt/NAS2/mammo/{patient}/{exam}/{name},{patient},{exam},2015,{kind},{side},{view},{spot},1,"
                             f"{box}")
                (root / "images" / patient / exam).mkdir(parents=True, exist_ok=True)
                (root / "images" / patient / exam / name).touch()
    (root / "tables" / "EMBED_OpenData_metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def convert(root: Path, *options: str) -> int:
    return main(["embed", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_screenings_take_the_pathology_that_they_led_to(embed: Path) -> None:
    assert convert(embed) == 0
    found = exams(embed)
    assert set(found) == {"11", "21", "31", "41", "51", "61"} and found["11"].patient_id == "01"
    labels = {name: [(b["malignant"], b["benign"]) for b in exam.breasts.values()] for name, exam in found.items()}
    assert labels["11"] == [(1, 0), (None, None)] and labels["21"] == [(None, None), (0, 1)]
    assert labels["31"] == [(0, 0), (0, 0)] and labels["51"] == [(0, 1), (0, 1)]
    assert labels["41"] == [(None, None), (None, None)], "recalled, and nothing came of it that is known"
    assert labels["61"] == [(0, 0), (0, 0)], "the cancer came two years later"
    assert convert(embed, "--within", "800") == 0
    assert exams(embed)["61"].breasts["L"]["malignant"] == 1


def test_only_plain_views_and_boxes_by_rows_first(embed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(embed) == 0
    found = exams(embed)["11"]
    assert list(found.images) == ["L-CC", "L-MLO", "R-CC", "R-MLO"] and found.groups == {"density": "c"}
    assert [(f.view, f.box, f.malignant) for f in found.findings][:2] == [
        ("L-CC", (100, 20, 150, 60), None), ("L-CC", (5, 6, 7, 8), None)]
    assert {f.malignant for f in exams(embed)["31"].findings} == {0}
    assert "36 images that are not plain 2D views" in capsys.readouterr().err
    assert convert(embed, "--exams", "all") == 0 and "12" in exams(embed)


@pytest.mark.parametrize(("table", "change", "text"), [
    ("clinical", ("path_severity", "severity"), "column `path_severity` is missing"),
    ("clinical", (",A,1,L,", ",A,1,Jane,"), "row 2: `side` is none of L, R, B"),
    ("clinical", (",M,1,L,0.0", ",M,1,L,9"), "row 3: `path_severity` is none of 0 to 6"),
    ("metadata", ("(100, 20, 150", "(160, 20, 150"), "row 2: a box of `ROI_coords` is empty"),
    ("metadata", (",01,11,", ",02,11,"), "row 3: examination of another `empi_anon`"),
])
def test_what_is_refused_in_one_line(embed: Path, capsys: pytest.CaptureFixture[str], table: str, change: Any,
                                     text: str) -> None:
    path = embed / "tables" / f"EMBED_OpenData_{table}.csv"
    path.write_text(path.read_text().replace(*change, 1))
    assert convert(embed) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1 and "Jane" not in error
