"""What is told of an exam's boxes, and where they lie in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms import BoxResultd
from transforms.breast_mri.exam_boxes import box_map, malignancy

# An exam of 12 × 8 × 4 voxels, 2 × 2 × 5 mm; x to the right. The right breast is its upper half, the left one mirrored.
EXAM = np.diag([2.0, 2.0, 5.0, 1.0])
RIGHT = EXAM @ np.array([[1, 0, 0, 6], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
LEFT = EXAM @ np.array([[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def found(*boxes: tuple[list[float], int, float]) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor([box for box, _, _ in boxes]).reshape(-1, 6),
            "labels": torch.tensor([label for _, label, _ in boxes], dtype=torch.int64),
            "scores": torch.tensor([score for _, _, score in boxes])}


def test_boxes_are_told_in_millimetres_and_drawn_in_the_exam() -> None:
    image = MetaTensor(torch.zeros(2, 1, 6, 8, 4), meta={
        "original_affine": EXAM, "spatial_shape": (12, 8, 4), "sides": ["L", "R"], "breast_affines": [LEFT, RIGHT]})
    pred = [found(([0.0, 2, 1, 2, 4, 2], 2, 0.5), ([3.0, 3, 3, 4, 4, 4], 1, 0.75)), found()]
    answer = BoxResultd("pred")({"image": image, "pred": pred})
    batched = BoxResultd("pred")({"image": image[None], "pred": [pred]})  # as evaluators give a batch of one exam
    assert batched["result"] == answer["result"] and torch.equal(batched["pred"], answer["pred"])
    told = answer["result"]
    assert (told["probability"], told["probabilities"]) == (0.5, {"L": 0.5, "R": 0.0})
    benign, malignant = told["boxes"]  # the highest score first
    assert (benign["class"], malignant["class"], malignant["side"]) == ("benign", "malignant", "L")
    # Voxels 0 and 1 of the left breast are 5 and 4 of the exam: 10 and 8 mm.
    assert malignant["center_mm"] == [9.0, 5.0, 5.0] and malignant["size_mm"] == [4.0, 4.0, 5.0]
    heat = answer["pred"][0]
    assert heat.shape == (12, 8, 4) and (heat > 0).sum() == 4
    assert heat[4:6, 2:4, 1].eq(0.5).all() and answer["heatmap_breasts"].shape == (2, 6, 8, 4)


def test_the_map_has_the_surest_malignant_box_of_each_voxel() -> None:
    boxes = found(([0.0, 0, 0, 4, 4, 2], 2, 0.25), ([2.0, 2, 0, 6, 6, 2], 2, 0.5), ([0.0, 0, 0, 8, 8, 2], 1, 1.0))
    heat = box_map(boxes, (8, 8, 2))
    assert heat[0, 0, 0] == 0.25 and heat[3, 3, 0] == 0.5 and heat[7, 7, 0] == 0 and heat.max() == 0.5
    assert malignancy(found(([0.0, 0, 0, 4, 4, 2], 1, 0.9))) == 0.0
    assert malignancy(found(([0.0, 0, 0, 4, 4, 2], 2, 0.25), ([0.0, 0, 0, 4, 4, 2], 2, 0.5))) == pytest.approx(0.5)
