"""The datalist: what is written can be read, and folds keep what the papers ask of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.datalist import Datalist, Exam, Lesion, load, save
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
