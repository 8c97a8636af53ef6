"""What training's random transforms keep of a mammogram (§4.2: padded, then flipped, rotated and cropped)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from commands import ROOT
from monai.bundle import ConfigParser
from monai.transforms import Compose, RandSpatialCropd

SIZE, PADDING, FAR = 96, 6, 60


def augmented(image: torch.Tensor, padding: int, seed: int) -> torch.Tensor:
    """An image after padding, flips and rotation by the largest angle, before the random crop."""
    parser = ConfigParser()
    parser.read_config(ROOT / "bundles/mammography_attention/configs/train.yaml")
    parser.update({"width": SIZE, "size": SIZE, "padding": padding, "rotation": 15})
    parts = list(parser.get_parsed_content("train#random_transforms"))
    cropped = next(i for i, part in enumerate(parts) if isinstance(part, RandSpatialCropd))
    return Compose(parts[:cropped]).set_random_state(seed)({"image": image})["image"]


@pytest.mark.parametrize("seed", range(4))
def test_rotation_takes_nothing_from_the_crops(seed) -> None:
    """All that any crop can show is there, as if the image had been taken with room all around."""
    image = torch.zeros(1, 128, SIZE)
    image[:, 4:124, :60] = 1  # a breast that touches the chest wall, up to the axilla
    found, roomy = augmented(image, PADDING, seed), augmented(F.pad(image, [FAR] * 4), 0, seed)
    inner = roomy[:, FAR - PADDING : PADDING - FAR, FAR - PADDING : PADDING - FAR]
    torch.testing.assert_close(found, inner, atol=1e-4, rtol=0)
    assert found.shape == (1, 128 + 2 * PADDING, SIZE + 2 * PADDING)
