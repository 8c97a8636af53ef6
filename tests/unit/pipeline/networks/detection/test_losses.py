"""Losses worked out by hand, and their gradients where there is nothing to learn from."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.networks.detection.boxes import encode
from pipeline.networks.detection.losses import box_loss, class_loss, mask_loss, outline_loss


def test_lesions_and_background_count_alike() -> None:
    logits = torch.tensor([[0.0, 0, 0], [0, 2, 0], [4, 0, 0], [4, 0, 0], [0, 0, 0]])
    surprise = [math.log(3), math.log(2 + math.exp(2)) - 2, math.log(2 + math.exp(4)) - 4]
    expected = ((surprise[0] + surprise[1]) / 2 + (2 * surprise[2] + surprise[0]) / 3) / 2
    assert float(class_loss(logits, torch.tensor([2, 1, 0, 0, 0]))) == pytest.approx(expected)


def test_without_lesions_the_background_counts_half() -> None:
    assert float(class_loss(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))) == pytest.approx(math.log(3) / 2)


def test_boxes_are_held_against_their_codes() -> None:
    anchor, lesion = torch.tensor([[0.0, 0, 0, 8, 8, 2]]), torch.tensor([[0.4, 0, 0, 8.4, 8, 2]])
    assert encode(lesion, anchor)[0, 0] == pytest.approx(0.5)
    said = torch.tensor([[0.0, 2.0, 0, 0, 0, 0]])  # off by 0.5, squared, and by 2, beyond 1 linear
    assert float(box_loss(said, anchor, lesion)) == pytest.approx((0.5 * 0.25 + 1.5) / 6)


def test_outlines_by_hand() -> None:
    """Eight voxels, two of a lesion, and a network that says one half everywhere."""
    masks = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    masks[0, 0, 0] = torch.tensor([1, 2])  # two lesions' numbers, both inside
    dice = 2 * 1 / (4 + 2)
    assert float(outline_loss(torch.zeros(2, 2, 1, 2, 2), masks)) == pytest.approx((1 - dice + math.log(2)) / 2)
    sure = torch.stack([50.0 * (masks == 0), 50.0 * (masks > 0)], dim=1)
    assert float(outline_loss(sure, masks)) == pytest.approx(0, abs=1e-5)
    assert float(mask_loss(torch.zeros(1, 2, 2), torch.ones(1, 2, 2))) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", [
    lambda x: box_loss(x.reshape(0, 6), torch.zeros(0, 6), torch.zeros(0, 6)),
    lambda x: class_loss(x.reshape(0, 3), torch.zeros(0, dtype=torch.int64)),
    lambda x: mask_loss(x.reshape(0, 2, 2), torch.zeros(0, 2, 2)),
])
def test_nothing_to_learn_from_is_0_and_connected(loss) -> None:
    source = torch.zeros(4, requires_grad=True)
    value = loss(source[:0])
    value.backward()
    assert float(value) == 0 and torch.equal(source.grad, torch.zeros(4))


def test_a_breast_without_lesions_has_a_finite_outline_loss() -> None:
    logits = torch.zeros(1, 2, 1, 2, 2, requires_grad=True)
    outline_loss(logits, torch.zeros(1, 1, 2, 2)).backward()
    assert torch.isfinite(logits.grad).all() and logits.grad[0, 1].sum() > 0
