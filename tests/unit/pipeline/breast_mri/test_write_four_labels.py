"""Rows of four answers an exam, what their maps point to, and what is left out, worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluation import batch_of, evaluate, rows

from pipeline.breast_mri.write_four_labels import WriteFourLabels
from pipeline.explain.stacks import load_stack

LOGITS = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, -2.0, 0.0, 3.0]])  # 0.5, 0.731059, 0.119203, 0.952574


@pytest.fixture
def case(tmp_path) -> dict[str, Any]:
    """An exam of 12 × 10 × 4 voxels; its lower half is tissue. Left malignant, right benign; two lesions each."""
    stack = np.zeros((2, 4, 10, 12), np.float16)
    stack[:, :, :5] = 1
    np.save(tmp_path / "E1_stack.npy", stack)
    image = torch.zeros(1, 12, 10, 4)
    image[0, 2, 1, 3] = 2.0
    lesions = [[2.0, 1.0, 3.0, "L", 1], [4.0, 3.0, 0.0, "L", 0], [9.0, 3.0, 2.0, "R", 0]]
    return {"exam_id": "E1", "patient_id": "P1", "split": "test", "label": torch.tensor([0, 1, 1, 0]), "image": image,
            "lesions": lesions, "affine": np.diag([2.0, 3.0, 4.0, 1.0]), "groups": {"density": "b"},
            "readers": {"one": {"L": 4.0, "R": None}}, "array": str(tmp_path / "E1_stack.npy")}


def written(folder: Path, case: dict[str, Any], heat: torch.Tensor | None = None, **options: Any) -> WriteFourLabels:
    batch = batch_of(case)
    batch.update(image=case["image"][None], label=case["label"][None])
    writer = WriteFourLabels(folder, 2, **options)
    evaluate(writer, (batch, LOGITS if heat is None else {"logits": LOGITS, "heatmap": heat}))
    return writer


def test_a_row_a_breast_and_task_the_leading_task_first(case, tmp_path) -> None:
    written(tmp_path / "out", case)
    found = rows(tmp_path / "out" / "predictions.csv")
    assert list(found[0]) == ["exam_id", "patient_id", "side", "task", "fold", "split", "label", "score",
                              "group_density", "reader_one"]
    assert [(r["side"], r["task"], r["label"], r["score"], r["reader_one"]) for r in found] == [
        ("L", "malignant", "1", "0.731059", "4.0"), ("R", "malignant", "0", "0.952574", ""),
        ("L", "benign", "0", "0.5", ""), ("R", "benign", "1", "0.119203", "")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.csv"]


def test_what_is_unknown_has_no_row(case, tmp_path) -> None:
    """The left breast was not imaged; of the right nothing is known of benign findings."""
    written(tmp_path / "out", {**case, "label": torch.tensor([-1, -1, -1, 0])})
    assert [(r["side"], r["task"]) for r in rows(tmp_path / "out" / "predictions.csv")] == [("R", "malignant")]


def test_each_answer_s_map_against_its_own_lesions(case, tmp_path) -> None:
    """Peaks: left malignant at (3, 1, 3), 2 mm from its lesion; right benign at (9, 1, 2), 6 mm from its."""
    heat = torch.zeros(1, 4, 12, 10, 4)
    heat[0, 1, 3, 1, 3], heat[0, 2, 9, 1, 2], heat[0, 0, 4, 3, 0], heat[0, 3, 9, 3, 2] = 0.7, 0.1, 0.5, 0.9
    written(tmp_path / "out", case, heat, radius_mm=5.0)
    found = rows(tmp_path / "out" / "localisation.csv")
    assert [(r["side"], r["task"], r["hit"], r["distance_mm"]) for r in found] == [
        ("L", "malignant", "1", "2.0"), ("R", "benign", "0", "6.0")]  # no finding, no row: left benign, right malignant
    near = [((x - 2) * 2) ** 2 + ((y - 1) * 3) ** 2 + ((z - 3) * 4) ** 2 <= 25
            for x in range(12) for y in range(5) for z in range(4)]
    assert float(found[0]["chance"]) == pytest.approx(np.mean(near), abs=0.03)  # the outline is smoothed by a row
    assert sorted(path.name for path in (tmp_path / "out" / "maps").iterdir()) == ["E1_L.npz", "E1_R.npz"]
    with np.load(tmp_path / "out" / "maps" / "E1_L.npz") as kept:  # malignancy, on the lesion's slice, mirrored
        assert kept["image"].shape == (10, 12) and kept["image"][8, 9] == 1 and kept["heat"][8, 8] == pytest.approx(0.7)
        assert kept["points"].tolist() == [[9, 8], [2, 6]] and (int(kept["label"]), str(kept["side"])) == (1, "L")
    with np.load(tmp_path / "out" / "maps" / "E1_R.npz") as kept:  # nothing malignant: the slice of the peak
        assert kept["heat"][6, 2] == pytest.approx(0.9) and int(kept["label"]) == 0


def test_maps_are_of_the_test_split_and_no_more_than_asked_for(case, tmp_path) -> None:
    heat = torch.rand(1, 4, 12, 10, 4)
    written(tmp_path / "a", case, heat, maps=1)
    assert [path.name for path in (tmp_path / "a" / "maps").iterdir()] == ["E1_L.npz"]
    written(tmp_path / "b", {**case, "split": "validation"}, heat)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["predictions.csv"]


def test_all_slices_of_both_breasts_maps_of_malignancy_are_kept_where_asked(case, tmp_path) -> None:
    """The exam's file counts its slices from above: slice z of the stack is its 3 - z."""
    own = {"affine": [[2, 0, 0, 0], [0, 3, 0, 0], [0, 0, -4, 12], [0, 0, 0, 1]], "shape": [12, 10, 4]}
    heat = torch.zeros(1, 4, 12, 10, 4)
    heat[0, 1, 3, 1, 3], heat[0, 3, 9, 3, 2], heat[0, 0], heat[0, 2] = 0.7, 0.9, 0.1, 0.1
    written(tmp_path / "out", {**case, "exam_grid": own}, heat, stacks=True)
    left, right = (load_stack(tmp_path / "out" / "stacks" / f"E1_{side}.npz") for side in "LR")
    assert left.image.shape == (4, 10, 12) and left.aspect == 1.5 and (left.total, right.total) == (4, 4)
    assert left.numbers.tolist() == [3, 2, 1, 0]
    assert np.argwhere(left.heat).tolist() == [[3, 8, 8]] and np.argwhere(right.heat).tolist() == [[2, 6, 2]]
    assert np.unravel_index(left.image.argmax(), left.image.shape) == (3, 8, 9)  # mirrored, anterior up
    assert left.points.tolist() == [[9, 8, 3], [7, 6, 0]] and left.malignant.tolist() == [1, 0]  # its own lesions
    assert right.points.tolist() == [[2, 6, 2]] and right.malignant.tolist() == [0]
    written(tmp_path / "older", case, heat, stacks=True)  # prepared before exams' own grids were kept
    assert load_stack(tmp_path / "older" / "stacks" / "E1_L.npz").total == 0
