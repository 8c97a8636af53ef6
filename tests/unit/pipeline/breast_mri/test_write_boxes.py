"""Rows of a detector's evaluation, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from evaluation import batch_of, evaluate, rows

from pipeline.breast_mri.write_boxes import WriteBoxes
from pipeline.explain.stacks import load_stack
from transforms.grid import Grid

AFFINE = np.array([[2.0, 0, 0, 10], [0, 3, 0, -5], [0, 0, 4, 1], [0, 0, 0, 1]])


def case(side: str, label: int, boxes: Any = (), labels: Any = (), lesions: Any = (), split: str = "test") -> Any:
    image = torch.zeros(2, 12, 10, 4)
    image[:, :, :5] = 1.0
    return {"exam_id": "E1", "patient_id": "P1", "side": side, "split": split, "label": label, "image": image,
            "lesions": list(lesions), "affine": AFFINE, "groups": {}, "readers": {},
            "targets": {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 6),
                        "labels": torch.tensor(labels, dtype=torch.int64)}}


def found(*boxes: tuple[list[float], int, float]) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor([box for box, _, _ in boxes]).reshape(-1, 6),
            "labels": torch.tensor([label for _, label, _ in boxes], dtype=torch.int64),
            "scores": torch.tensor([score for _, _, score in boxes])}


LESION = [2.0, 1, 1, 6, 4, 3]  # 4 × 3 × 2 voxels; centre (3.5, 2, 1.5)
BREAST = case("L", 1, [LESION], [2], [[3.5, 2.0, 1.5, 1]])


def test_the_score_is_the_highest_malignant_confidence_and_0_without_a_box(tmp_path) -> None:
    pred = [found((LESION, 1, 0.9), ([0.0, 0, 0, 4, 4, 4], 2, 0.25), (LESION, 2, 0.625)), found((LESION, 1, 0.9)),
            found()]
    evaluate(WriteBoxes(tmp_path, 3), (batch_of(BREAST, case("R", 0), case("R", 0, split="validation")), pred))
    assert [(row["split"], row["fold"], row["label"], row["score"]) for row in rows(tmp_path / "predictions.csv")] == [
        ("test", "3", "1", "0.625"), ("test", "3", "0", "0.0"), ("validation", "3", "0", "0.0")]


def test_a_row_a_box_in_millimetres_and_what_it_found(tmp_path) -> None:
    shifted = [4.0, 1, 1, 8, 4, 3]  # half of the lesion and as much beside it: 12 of 36 voxels
    pred = [found((shifted, 2, 0.5), (LESION, 2, 0.75), ([0.0, 5, 0, 2, 7, 1], 2, 0.25), (LESION, 1, 0.25))]
    evaluate(WriteBoxes(tmp_path, 0), (batch_of(BREAST), pred))
    table = rows(tmp_path / "detections.csv")
    assert [(row["class"], row["score"], row["iou"], row["outcome"]) for row in table] == [
        ("benign", "0.25", "0.0", "false"), ("malignant", "0.75", "1.0", "found"),
        ("malignant", "0.5", "0.3333", "again"), ("malignant", "0.25", "0.0", "false")]
    place = {key: float(table[1][key]) for key in ("x_mm", "y_mm", "z_mm", "size_x_mm", "size_y_mm", "size_z_mm")}
    assert place == {"x_mm": 17.0, "y_mm": 1.0, "z_mm": 7.0, "size_x_mm": 8.0, "size_y_mm": 9.0, "size_z_mm": 8.0}
    (true,) = rows(tmp_path / "outlines.csv")
    assert {key: float(true[key]) for key in place} == place and (true["class"], true["side"]) == ("malignant", "L")


def test_no_detection_in_a_whole_fold(tmp_path) -> None:
    evaluate(WriteBoxes(tmp_path, 0), (batch_of(BREAST, case("R", 0)), [found(), found()]))
    assert rows(tmp_path / "detections.csv") == [] and len(rows(tmp_path / "outlines.csv")) == 1
    (peak,) = rows(tmp_path / "localisation.csv")
    assert (peak["hit"], peak["distance_mm"]) == ("0", "") and 0 <= float(peak["chance"]) <= 1


@pytest.mark.parametrize("box, hit", [(LESION, "1"), ([6.0, 1, 1, 10, 4, 3], "1"), ([8.0, 1, 1, 12, 4, 3], "0")])
def test_the_best_box_points_to_the_lesion_by_its_centre(tmp_path, box, hit) -> None:
    """2 mm a voxel along x: the centres are 0, 8 and 12 mm away. A benign box, however sure, does not count."""
    pred = [found((box, 2, 0.5), (LESION, 1, 0.9), ([0.0, 5, 0, 2, 7, 1], 2, 0.25))]
    evaluate(WriteBoxes(tmp_path, 0, radius_mm=10.0), (batch_of(BREAST), pred))
    (peak,) = rows(tmp_path / "localisation.csv")
    distance = abs((box[0] + box[3]) / 2 - 4.0) * 2
    assert peak["hit"] == hit and float(peak["distance_mm"]) == pytest.approx(distance)
    assert Grid((12, 10, 4), AFFINE).spacing.tolist() == [2, 3, 4]


def test_the_picture_has_the_boxes_of_its_slice_turned_for_display(tmp_path) -> None:
    pred = [found((LESION, 2, 0.75), ([0.0, 5, 3, 2, 7, 4], 2, 0.25), ([0.0, 5, 1, 2, 7, 3], 1, 0.5),
                  (LESION, 2, 0.05))]
    evaluate(WriteBoxes(tmp_path, 0), (batch_of(BREAST), pred))
    with np.load(tmp_path / "maps" / "E1_L.npz") as kept:
        # Slice 2, the lesion's: the second box lies on slice 3, the last is too unsure. Row, column, row, column;
        # anterior is up: y from 1 to 4 of ten rows are rows 6 to 9.
        assert kept["boxes"].tolist() == [[6, 2, 9, 6], [3, 0, 5, 2]]
        assert kept["box_malignant"].tolist() == [True, False]
        assert kept["box_score"].tolist() == pytest.approx([0.75, 0.5]) and not kept["heat"].any()


def test_all_slices_are_kept_with_the_boxes_where_asked(tmp_path) -> None:
    pred = [found((LESION, 2, 0.75), ([0.0, 5, 3, 2, 7, 4], 1, 0.25), (LESION, 2, 0.05)), found()]
    batch = batch_of(BREAST, case("R", 0, split="validation"))
    evaluate(WriteBoxes(tmp_path, 0, stacks=True), (batch, pred))
    (path,) = (tmp_path / "stacks").iterdir()  # of test breasts
    kept = load_stack(path)
    assert kept.names == {"exam_id": "E1", "side": "L"} and kept.image.shape == (4, 10, 12) and kept.heat is None
    # Column, row of the upper left corner, width, height; slices; anterior is up: y from 1 to 4 of ten is rows 6 to 9.
    assert kept.boxes is not None and kept.boxes.tolist() == [[2, 6, 4, 3, 1, 2, 1, 0.75], [0, 3, 2, 2, 3, 3, 0, 0.25]]
    assert kept.aspect == 1.5 and kept.shown() in (1, 2)  # the centre lies between
    assert kept.image[0].tolist() == [[0] * 12] * 5 + [[255] * 12] * 5
    evaluate(WriteBoxes(tmp_path / "none", 0), (batch, pred))
    assert not (tmp_path / "none" / "stacks").exists()
