"""Patches, mirrored copies and networks: a stand-in that finds what is bright tells where boxes end up."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.networks.detection.ensemble import detect


class Bright(nn.Module):
    """Finds the box around what is 1 in an image, as malignant, with a score of its own."""

    def __init__(self, score: float = 0.8, only: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.score, self.only = score, only
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> list[dict[str, Any]]:
        self.seen.append(tuple(image.shape[2:]))
        answers = []
        for breast in image:
            where = (breast[0] == 1).nonzero().float()
            found = len(where) > 0
            box = torch.cat([where.amin(dim=0), where.amax(dim=0) + 1])[None] if found else torch.zeros(0, 6)
            answers.append({"boxes": box, "labels": torch.full((int(found),), 2),
                            "scores": torch.full((int(found),), self.score)})
        return answers


@pytest.fixture
def image() -> torch.Tensor:
    """Two breasts, a lesion in the first."""
    image = torch.zeros(2, 1, 64, 64, 16)
    image[0, 0, 24:30, 36:40, 5:8] = 1
    return image


LESION = [24.0, 36, 5, 30, 40, 8]


def test_one_network_that_sees_all_answers_by_itself(image) -> None:
    network = Bright()
    found = detect(network, image)
    assert found[0]["boxes"].tolist() == [LESION] and len(found[1]["boxes"]) == 0 and network.seen == [(64, 64, 16)]


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2)])
def test_mirrored_copies_meet_in_one_box(image, axes) -> None:
    network = Bright()
    found = detect(network, image, flip_axes=axes)
    assert len(network.seen) == 2 ** len(axes)
    assert found[0]["boxes"].tolist() == [pytest.approx(LESION)] and found[0]["labels"].tolist() == [2]
    assert found[0]["scores"].tolist() == pytest.approx([0.8])
    assert [tuple(found[1][key].shape) for key in ("boxes", "labels", "scores")] == [(0, 6), (0,), (0,)]


def test_patches_find_it_where_it_is(image) -> None:
    """Nine patches with overlap; the lesion lies whole in four of them, and within no more."""
    network = Bright()
    found = detect(network, image, patch_size=(32, 32, 16))
    assert network.seen == [(32, 32, 16)] * 9
    assert found[0]["boxes"].tolist() == [pytest.approx(LESION)]
    assert found[0]["scores"].tolist() == pytest.approx([0.8])


def test_the_mean_of_networks_of_which_one_sees_nothing(image) -> None:
    class Blind(Bright):
        def forward(self, image: torch.Tensor) -> list[dict[str, Any]]:
            return super().forward(torch.zeros_like(image))

    found = detect([Bright(0.9), Bright(0.6), Blind()], image)
    assert found[0]["boxes"].tolist() == [pytest.approx(LESION)]
    assert found[0]["scores"].tolist() == pytest.approx([0.5])  # 0.9, 0.6 and 0


def test_a_patch_larger_than_the_image_is_the_image(image) -> None:
    network = Bright()
    assert detect(network, image, patch_size=(128, 128, 32))[0]["boxes"].tolist() == [LESION]
    assert network.seen == [(64, 64, 16)]
