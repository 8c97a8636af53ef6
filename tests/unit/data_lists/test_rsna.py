"""The RSNA converter: labels of breasts, repeated and other views, both formats of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load

HEADER = ("site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
          "difficult_negative_case")


@pytest.fixture
def rsna(tmp_path: Path) -> Path:
    """Patient 001 (leading zeros): a repeat, a view of another kind, a cancer on the right; others without one."""
    root, lines = tmp_path / "rsna", [HEADER]
    views = [("001", "L", "CC", 0, 0, "1.0"), ("001", "L", "MLO", 0, 0, "1.0"), ("001", "L", "CC", 0, 0, "1.0"),
             ("001", "R", "CC", 1, 1, "0.0"), ("001", "R", "LMO", 1, 1, "0.0"), ("002", "L", "CC", 0, 1, ""),
             *[(f"00{k}", side, "CC", 0, 0, "") for k in range(3, 8) for side in "LR"]]
    for i, (patient, side, view, cancer, biopsy, birads) in enumerate(views):
        lines.append(f"1,{patient},{i:04d},{side},{view},61,{cancer},{biopsy},0,{birads},0,C,29,{i == 5}")
        path = root / "train_images" / patient / f"{i:04d}.{'png' if i == 5 else 'dcm'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def convert(root: Path, *options: str) -> int:
    return main(["rsna", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def test_labels_views_and_subgroups(rsna: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(rsna) == 0
    found: dict[str, Exam] = {exam.exam_id: exam for exam in load(rsna.parent / "list.json").exams}
    first = found["001"]
    assert list(first.images) == ["L-CC", "L-CC-2", "L-MLO", "R-CC"] and first.images["L-CC-2"].endswith("001/0002.dcm")
    assert first.breasts == {"L": {"malignant": 0, "benign": 0}, "R": {"malignant": 1, "benign": 0}}
    assert found["002"].breasts == {"L": {"malignant": 0, "benign": 1}} and found["002"].groups["difficult"] == "yes"
    assert found["003"].breasts["L"] == {"malignant": 0, "benign": None}
    assert found["002"].images["L-CC"].endswith(".png") and first.groups["density"] == "c"
    assert "left out: 1 images of other views" in capsys.readouterr().err


@pytest.mark.parametrize(("change", "text"), [
    (("cancer", "kancer"), "column `cancer` is missing"),
    (("L,MLO,61,0", "L,MLO,61,1"), "row 3: `cancer` differs between the images of one breast"),
    (("L,MLO", "Jane,MLO"), "row 3: `laterality` is none of"),
    (("L,MLO", "L,XX"), "row 3: `view` is none of cc, mlo, at"),
    (("001,0001", "001,0000"), "row 3: this image is there a second time"),
    (("001,0001", "002,0001"), "1 of 15 listed images are not there, the first is 002/0001.dcm"),
])
def test_what_is_refused_in_one_line(rsna: Path, capsys: pytest.CaptureFixture[str], change: Any, text: str) -> None:
    table = rsna / "train.csv"
    table.write_text(table.read_text().replace(*change, 1))
    assert convert(rsna) == 2
    error = capsys.readouterr().err
    assert text in error and len(error.splitlines()) == 1 and "Jane" not in error
