"""Rotation and mirroring, against MONAI's 3D rotation."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Rotate

from transforms import RandRotateFlip, RandRotateFlipd


@pytest.mark.parametrize("seed", range(4))
def test_equals_monais_rotation_after_mirroring(seed) -> None:
    image = torch.rand(2, 20, 24, 3)
    move = RandRotateFlip(degrees=15)
    move.set_random_state(seed)
    found = move(image)
    mirrored = image.flip([axis + 1 for axis in range(2) if move.signs[axis] < 0])
    expected = Rotate((0, 0, move.angle), padding_mode="zeros", align_corners=True)(mirrored)
    assert abs(move.angle) <= np.deg2rad(15)
    torch.testing.assert_close(found, torch.as_tensor(expected.numpy()), atol=2e-5, rtol=0)


def test_all_mirrorings_occur_and_only_those_asked_for() -> None:
    move = RandRotateFlip(flip_axes=(1,), prob=0)
    move.set_random_state(0)
    image = torch.arange(12.0).reshape(1, 3, 4, 1)
    seen = {tuple(move(image).flatten().tolist()) for _ in range(40)}
    assert seen == {tuple(image.flatten().tolist()), tuple(image.flip(2).flatten().tolist())}
    with pytest.raises(ValueError, match="in-plane"):
        RandRotateFlip(flip_axes=(2,))


def test_keys_move_together_and_follow_the_seed() -> None:
    chain = Compose([RandRotateFlipd(["image", "map"])])
    image = torch.rand(1, 16, 16, 2)
    chain.set_random_state(seed=5)
    first = chain({"image": image, "map": image.clone()})
    torch.testing.assert_close(first["image"], first["map"])
    second = chain({"image": image, "map": image})
    assert not torch.equal(first["image"], second["image"])
    chain.set_random_state(seed=5)
    assert torch.equal(chain({"image": image, "map": image})["image"], first["image"])
