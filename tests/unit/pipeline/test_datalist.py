"""The datalist: what is written can be read, and folds keep what the papers ask of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.datalist import Datalist, Exam, Finding, InputError, Lesion, load, save
from pipeline.files.atomic import write_json


def breasts(worst: int) -> dict[str, dict[str, int | None]]:
    """Breasts of an exam whose worst label is malignant (2), benign (1) or none (0)."""
    return {"L": {"malignant": 0, "benign": 0},
            "R": {"malignant": int(worst == 2), "benign": int(worst == 1)}}


def example(root: Path) -> Datalist:
    exam = Exam("E1", "P1", {"pre": "E1/pre.nii.gz"}, {"R": {"malignant": 1, "benign": None}},
                [Lesion("R", (61.25, 40.0, -7.5), 1, "1")], {"reader1": {"R": 5.0}}, {"density": "c"}, 0, [1])
    return Datalist("demo", "MR", root, [exam], {"count": 2, "seed": 0})


def test_saved_list_loads_equal(tmp_path: Path) -> None:
    save(example(tmp_path / "images"), tmp_path / "list.json")
    assert load(tmp_path / "list.json") == example(tmp_path / "images")


def test_list_and_images_move_together(tmp_path: Path) -> None:
    save(example(tmp_path / "a" / "images"), tmp_path / "a" / "list.json")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = load(tmp_path / "b" / "list.json")
    assert moved.path(moved.exams[0], "pre") == tmp_path / "b" / "images" / "E1" / "pre.nii.gz"
    assert str(tmp_path) not in (tmp_path / "b" / "list.json").read_text()


@pytest.mark.parametrize(("worst", "expected"), [(2, 2), (1, 1), (0, 0)])
def test_worst_label(worst: int, expected: int) -> None:
    assert Exam("E", "P", {}, breasts(worst)).worst_label() == expected


def test_unknown_labels_count_as_none() -> None:
    assert Exam("E", "P", {}, {"L": {"malignant": None}, "R": {}}).worst_label() == 0


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_a_list_can_hold_survives_the_disk(tmp_path: Path) -> None:
    datalist = example(tmp_path)
    datalist.truth, datalist.source = "birads", {"converter": "csv", "counts": {"exams": 1}}
    datalist.exams[0].lesions += [Lesion("R", (None, None, 12.5), 0, "2", (4.0, 5.5, 6.0))]
    datalist.exams[0].findings = [Finding("R-CC", (10, 20, 30, 44), 1)]
    save(datalist, tmp_path / "list.json")
    loaded = load(tmp_path / "list.json")
    assert loaded == datalist
    assert loaded.exams[0].points() == [(datalist.exams[0].lesions[0], (61.25, 40.0, -7.5))]


def test_a_list_of_the_first_schema_still_loads(tmp_path: Path) -> None:
    exam = {"exam_id": "E1", "patient_id": "P1", "images": {"pre": "p.nii"}, "breasts": {"R": {"malignant": 1}},
            "lesions": [{"lesion_id": "1", "side": "R", "center_mm": [61.2, 40.0, -7.5], "malignant": 1}], "fold": 0}
    (tmp_path / "old.json").write_text(json.dumps(
        {"schema": "breast-bundles/datalist/1", "name": "old", "modality": "MR", "root": ".", "exams": [exam]}))
    loaded = load(tmp_path / "old.json")
    assert loaded.exams[0].lesions[0].size_mm is None and loaded.truth == "" and loaded.source == {}


@pytest.mark.parametrize(("key", "value", "text"), [
    ("lesions", [{"side": "R", "center_mm": [1, 2, 3], "size_mm": [1, -2, 3]}], "size_mm"),
    ("lesions", [{"side": "R", "center_mm": [1, "2", 3]}], "center_mm"),
    ("findings", [{"view": "R-CC", "box": [1, 2, 3.5, 4]}], "box"),
])
def test_places_of_another_form_are_refused(tmp_path: Path, key: str, value: object, text: str) -> None:
    save(example(tmp_path), tmp_path / "list.json")
    content = json.loads((tmp_path / "list.json").read_text())
    content["exams"][0][key] = value
    (tmp_path / "list.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=text):
        load(tmp_path / "list.json")
