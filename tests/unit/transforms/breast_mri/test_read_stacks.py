"""Prepared whole exams as the network gets them: what is needed is read; mirrored breasts take their labels along."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms import InputError, LoadPhasesd, PhaseInputd, RandFlipCropStackd


@pytest.fixture
def case(tmp_path):
    """Four phases of 3 slices, 4 rows, 6 columns; a voxel is its phase's number + (x + 8 y + 32 z) / 128, exactly."""
    z, y, x = np.ogrid[:3, :4, :6]
    array = np.stack([phase + (x + 8 * y + 32 * z) / 128 for phase in range(4)]).astype(np.float16)
    np.save(tmp_path / "E1_stack.npy", array)
    return {"image": str(tmp_path / "E1_stack.npy"), "phases": ["pre", "post1", "post2", "post3"],
            "label": [0, 1, 0, 0]}


def test_phases_are_read_by_name(case) -> None:
    image = LoadPhasesd("image", ["pre", "post2"])(case)["image"]
    assert image.shape == (2, 6, 4, 3) and image.dtype == torch.float32
    assert image[:, 5, 3, 2].tolist() == [93 / 128, 2 + 93 / 128]
    assert PhaseInputd("image", "t2-t0")({"image": image})["image"].unique().tolist() == [2.0]


def test_no_other_phase_is_touched(case) -> None:
    array = np.load(case["image"])
    array[[1, 3]] = np.nan  # would be refused
    np.save(case["image"], array)
    LoadPhasesd("image", ["pre", "post2"])(case)
    with pytest.raises(InputError, match="NaN"):
        LoadPhasesd("image", ["post1"])(case)


def test_a_phase_that_an_exam_lacks_is_named(case) -> None:
    with pytest.raises(InputError, match=r"E1_stack.npy: has no post3; leave the exam out"):
        LoadPhasesd("image", ["pre", "post3"])({**case, "phases": ["pre", "post1", "post2"]})
    with pytest.raises(InputError, match="holds 4 phases, 3 were prepared"):
        LoadPhasesd("image", ["pre"])({**case, "phases": ["pre", "post1", "post2"]})


def asymmetric() -> dict:
    """A left breast (x below the middle) with a bright lesion; benign findings in the right one."""
    image = torch.zeros(1, 40, 30, 8)
    image[0, 8:12, 18:22, 2:4] = 1.0
    return {"image": image, "label": [0, 1, 1, 0]}


def test_a_lesion_s_label_is_always_that_of_the_side_it_lies_on() -> None:
    """Left benign, left malignant, right benign, right malignant; x grows to the patient's right."""
    move = RandFlipCropStackd("image", (0, 1, 2), keep=0.9)
    seen = set()
    for seed in range(40):
        move.set_random_state(seed)
        found = move(asymmetric())
        places = torch.nonzero(found["image"][0]).float().mean(dim=0)
        columns = found["image"].shape[1]
        right = bool(places[0] > columns / 2)
        assert found["label"] == ([1, 0, 0, 1] if right else [0, 1, 1, 0])
        seen.add((right, bool(places[1] > found["image"].shape[2] / 2), bool(places[2] > 4)))
        assert float(found["image"].sum()) == 32  # mirrored, not blurred
    assert len(seen) == 8


def test_axes_that_are_not_asked_for_stay_and_crops_keep_their_part() -> None:
    move = RandFlipCropStackd("image", (2,), keep=0.8)
    shapes = set()
    for seed in range(30):
        move.set_random_state(seed)
        found = move(asymmetric())
        assert found["label"] == [0, 1, 1, 0] and found["image"].shape[3] == 8
        assert 32 <= found["image"].shape[1] <= 40 and 24 <= found["image"].shape[2] <= 30
        shapes.add(tuple(found["image"].shape))
    assert len(shapes) > 10
    still = RandFlipCropStackd("image", (), keep=1.0)(asymmetric())
    assert torch.equal(still["image"], asymmetric()["image"])


def test_the_same_seed_moves_alike() -> None:
    moved = [RandFlipCropStackd("image").set_random_state(3)(asymmetric())["image"] for _ in range(2)]
    assert torch.equal(*moved)


@pytest.mark.parametrize("given", [{"flip_axes": [3]}, {"keep": 0}, {"keep": 1.1}])
def test_what_is_no_axis_or_part_is_refused(given) -> None:
    with pytest.raises(InputError, match=r"flip_axes|crop_keep"):
        RandFlipCropStackd("image", **given)
