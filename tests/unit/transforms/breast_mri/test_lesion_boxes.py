"""Boxes read off masks: by hand, and off masks that have moved with a bright lesion."""

from __future__ import annotations

import math

import pytest
import torch

from transforms import LesionBoxesd, RandRotateFlipd
from transforms.breast_mri.lesion_boxes import boxes_of


def test_boxes_end_behind_the_last_voxel_and_numbers_follow_them() -> None:
    mask = torch.zeros(1, 10, 10, 6, dtype=torch.uint8)
    mask[0, 2:5, 3, 1] = 4  # flat in y and z
    mask[0, 9, 9, 5] = 7  # one voxel, in the corner
    found = boxes_of(mask, [[4, 1], [5, 1], [7, 0]])  # 5 was cut away
    assert found["boxes"].tolist() == [[2, 3, 1, 5, 4, 2], [9, 9, 5, 10, 10, 6]]
    assert found["labels"].tolist() == [2, 1] and found["labels"].dtype == torch.int64
    assert found["mask"].dtype == torch.uint8 and found["mask"][0, 2, 3, 1] == 1 and found["mask"][0, 9, 9, 5] == 2


def test_overlapping_lesions_keep_boxes_of_their_own() -> None:
    mask = torch.zeros(1, 10, 10, 6, dtype=torch.uint8)
    mask[0, 1:7, 1:7, 2] = 1
    mask[0, 4:9, 4:9, 2] = 2  # lies over a part of the first
    assert boxes_of(mask, [[1, 0], [2, 1]])["boxes"].tolist() == [[1, 1, 2, 7, 7, 3], [4, 4, 2, 9, 9, 3]]


def test_a_breast_without_lesions_has_no_boxes() -> None:
    found = LesionBoxesd()({"mask": torch.zeros(1, 4, 4, 4, dtype=torch.uint8), "marks": [], "outlined": True, "a": 1})
    assert found["a"] == 1 and "mask" not in found and "outlined" not in found
    targets = found["targets"]
    assert targets["boxes"].shape == (0, 6) and targets["labels"].shape == (0,) and not targets["mask"].any()


def test_sizes_alone_leave_the_mask_out() -> None:
    mask = torch.ones(1, 2, 2, 2, dtype=torch.uint8)
    targets = LesionBoxesd()({"mask": mask, "marks": [[1, 1]], "outlined": False})["targets"]
    assert "mask" not in targets and targets["boxes"].tolist() == [[0, 0, 0, 2, 2, 2]]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [(7, 5, 3), (1, 1, 1)])
def test_the_box_contains_the_lesion_after_one_random_rotation_and_flip(seed, size) -> None:
    """Image and mask move together, and a bright lesion ends up in the box that is read off the mask."""
    image, mask = torch.zeros(2, 48, 40, 8), torch.zeros(1, 48, 40, 8, dtype=torch.uint8)
    here = tuple(slice(a, a + n) for a, n in zip((30, 8, 3), size, strict=True))
    image[1][here], mask[0][here] = 1.0, 5
    move = RandRotateFlipd(["image", "mask"], degrees=15.0, numbers=["mask"])
    move.set_random_state(seed=seed)
    found = LesionBoxesd()({**move({"image": image, "mask": mask}), "marks": [[5, 1]]})
    (box,) = found["targets"]["boxes"].tolist()
    x, y, z = (int(n) for n in torch.stack(torch.where(found["image"][1] == found["image"][1].max()))[:, 0])
    slack = 1 if size == (1, 1, 1) else 0  # a single voxel is spread over its neighbours
    assert all(box[i] - slack <= at < box[3 + i] + slack for i, at in enumerate((x, y, z)))
    inside = tuple(slice(int(box[i]), int(box[3 + i])) for i in range(3))
    assert found["image"][1][inside].max() >= 0.25
    assert set(found["targets"]["mask"].unique().tolist()) == {0, 1}
    # Where it went, worked out from the angle and the mirroring that were drawn, about the image's middle.
    angle, signs = move.move.angle, move.move.signs
    dx, dy = 30 + (size[0] - 1) / 2 - 23.5, 8 + (size[1] - 1) / 2 - 19.5
    dx, dy = dx * signs[0], dy * signs[1]
    wanted = (dx * math.cos(angle) + dy * math.sin(angle) + 23.5, -dx * math.sin(angle) + dy * math.cos(angle) + 19.5)
    middle = [(box[i] + box[3 + i] - 1) / 2 for i in range(2)]
    assert max(abs(a - b) for a, b in zip(middle, wanted, strict=True)) <= 1.0
