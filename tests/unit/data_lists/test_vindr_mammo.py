"""The VinDr-Mammo converter: suspicion instead of biopsies, boxes, both names of the split's column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.mammography.views import VIEWS
from pipeline.verify import verify
from transforms import LoadViews

SHAPE = (60, 40)
VIEW_NAMES = [(side, view) for side in "LR" for view in ("CC", "MLO")]
BREAST = "study_id,series_id,laterality,image_id,view_position,height,width,breast_birads,breast_density,split"
FINDING = ("image_id,study_id,series_id,laterality,view_position,height,width,breast_birads,breast_density,"
           "finding_categories,finding_birads,xmin,ymin,xmax,ymax,split")


def ident(exam: int, view: int = 9) -> str:
    return f"{exam:x}{view}".rjust(32, "0")


@pytest.fixture
def vindr(tmp_path: Path, make_mammogram: Any) -> Path:
    """Ten exams, the last two in the test part; exam i has BI-RADS 1 + i mod 5 in its left breast, else 1."""
    root = tmp_path / "vindr"
    breasts, findings = [BREAST], [FINDING]
    for i in range(10):
        for k, (side, view) in enumerate(VIEW_NAMES):
            birads = 1 + i % 5 if side == "L" else 1
            part = "test" if i >= 8 else "training"
            polarity = "MONOCHROME1" if i % 2 else "MONOCHROME2"
            make_mammogram(root / "images" / ident(i) / f"{ident(i, k)}.dicom", side, SHAPE, ImageLaterality=side,
                           ViewPosition=view, PhotometricInterpretation=polarity, PatientID=ident(i))
            breasts.append(f"{ident(i)},s,{side},{ident(i, k)},{view},60,40,BI-RADS {birads},DENSITY C,{part}")
            key = f"{ident(i, k)},{ident(i)},s,{side},{view},60,40,BI-RADS {birads},DENSITY C"
            if side == "L" and birads > 2:
                findings += [f"{key},\"['Mass', 'Nipple Retraction']\",BI-RADS {birads},4.6,20.2,12.1,33.9,{part}",
                             f"{key},['Skin Thickening'],,1.0,2.0,9.0,8.0,{part}"]
            else:
                findings.append(f"{key},['No Finding'],,,,,,{part}")
    (root / "breast-level_annotations.csv").write_text("\n".join(breasts) + "\n")
    (root / "finding_annotations.csv").write_text("\n".join(findings) + "\n")
    return root


def convert(root: Path, *options: str) -> int:
    return main(["vindr-mammo", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


@pytest.mark.parametrize(("option", "three"), [("unknown", None), ("negative", 0), ("positive", 1)])
def test_birads_become_suspicion(vindr: Path, option: str, three: int | None) -> None:
    assert convert(vindr, "--birads-3", option) == 0
    found = exams(vindr)
    assert [found[ident(i)].breasts["L"]["malignant"] for i in range(5)] == [0, 0, three, 1, 1]
    assert [found[ident(i)].breasts["L"]["benign"] for i in range(5)] == [0, 1, None, None, None]
    assert all(exam.breasts["R"] == {"malignant": 0, "benign": 0} for exam in found.values())
    datalist = load(vindr.parent / "list.json")
    assert datalist.truth == "birads" and "suspicious" in datalist.source["label_rule"]
    assert datalist.source["options"]["birads_3"] == option
    assert [found[ident(i)].held_out for i in (7, 8, 9)] == [False, True, True]
    assert not [issue for issue in verify(datalist) if issue.severity == "error"]


def test_boxes_reach_the_prepared_array_in_either_polarity(vindr: Path) -> None:
    assert convert(vindr) == 0
    datalist, found = load(vindr.parent / "list.json"), exams(vindr)
    # xmin 4.6, ymin 20.2, xmax 12.1, ymax 33.9 to rows and columns that hold all of it
    assert [(f.view, f.box, f.malignant) for f in found[ident(3)].findings][:2] == [
        ("L-CC", (20, 4, 34, 13), 1), ("L-CC", (2, 1, 8, 9), None)]
    read = {}
    for i in (3, 4):  # MONOCHROME1 and 2
        exam = found[ident(i)]
        result = LoadViews()(VIEWS.inputs(exam, {name: datalist.path(exam, name) for name in exam.images}))
        record = {"arrays": {name: {"image": "", **facts} for name, _, facts in VIEWS.arrays(result)}}
        cases = {case["image_id"]: case for case in VIEWS.cases(exam, record)}
        assert cases["L-CC"]["boxes"][0] == [20, 4, 34, 13, 1] and cases["R-CC"]["boxes"] == []
        read[i] = result["views"]["L-CC"]["pixels"]
    assert (read[3] == read[4]).all() and read[3][30, 2] > 0


def test_the_split_s_column_under_its_other_name(vindr: Path) -> None:
    for name in ("breast-level_annotations.csv", "finding_annotations.csv"):
        table = vindr / name
        table.write_text(table.read_text().replace("split", "fold", 1))
    assert convert(vindr) == 0 and sum(exam.held_out for exam in exams(vindr).values()) == 2


@pytest.mark.parametrize(("table", "change", "text"), [
    ("breast-level_annotations.csv", ("breast_birads", "birads"), "column `breast_birads` is missing"),
    ("breast-level_annotations.csv", ("BI-RADS 1", "Jane Doe"), "row 2: `breast_birads` is none of bi-rads 1"),
    ("breast-level_annotations.csv", (",training\n", ",test\n"), "row 3: `split` differs between the images"),
    ("finding_annotations.csv", ("4.6,20.2,12.1,33.9", "4.6,20.2,62.1,33.9"), "the box is empty or reaches out"),
    ("finding_annotations.csv", ("4.6,20.2,12.1,33.9", "4.6,20.2,,33.9"), "`xmax` is empty"),
])
def test_what_is_refused_in_one_line(vindr: Path, capsys: pytest.CaptureFixture[str], table: str, change: Any,
                                     text: str) -> None:
    path = vindr / table
    path.write_text(path.read_text().replace(*change, 1))
    assert convert(vindr) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1 and "Jane" not in error


def test_a_side_that_contradicts_the_header_is_found_by_verify(vindr: Path) -> None:
    path = vindr / "breast-level_annotations.csv"
    first = f"s,L,{ident(0, 0)},CC"
    path.write_text(path.read_text().replace(first, first.replace(",L,", ",R,"), 1))
    assert convert(vindr) == 0
    issues = [i for i in verify(load(vindr.parent / "list.json")) if i.severity == "error"]
    assert [(i.code, i.exam) for i in issues] == [("view", ident(0))]


def test_half_a_download_and_another_dataset(vindr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted(vindr.rglob("*.dicom"))
    images[0].unlink()
    assert convert(vindr) == 0 and load(vindr.parent / "list.json").source["left_out"] == {
        "listed images that are not there": 1}
    for path in images[1:5]:
        path.unlink()
    assert convert(vindr) == 2
    assert f"5 of 40 listed images are not there, the first is {images[0].name}" in capsys.readouterr().err
    assert convert(vindr, "--least", "0.8") == 0
    assert main(["duke", str(vindr), "-o", str(vindr.parent / "x.json")]) == 2
    assert "this looks like vindr-mammo" in capsys.readouterr().err
