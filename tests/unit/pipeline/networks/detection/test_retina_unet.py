"""Retina U-Net: its size, its anchors' order, and that it learns a breast by heart."""

from __future__ import annotations

import pytest
import torch
from lesion_images import HALF, LESION, answers, breast, learn

from pipeline.networks.detection.anchors import RETINA_SCALES, anchors
from pipeline.networks.detection.boxes import iou
from pipeline.networks.detection.retina_unet import RetinaUNet


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_by_part() -> None:
    network = RetinaUNet()
    pyramid = network.pyramid
    assert [count(pyramid.backbone), count(pyramid.lateral) + count(pyramid.smooth), count(network.classes),
            count(network.boxes), count(network.segmentation)] == [2_745_036, 221_400, 440_923, 487_606, 74]
    assert count(network) == 3_895_039
    assert count(pyramid.smooth["P1"]) == 35_028  # of no use in the published network either


def test_answers_come_in_the_anchors_order() -> None:
    """A head whose last convolution passes one bright cell of P3 on: the anchor with the highest score lies there."""
    torch.manual_seed(0)
    network = RetinaUNet(**{**HALF, "widths": (2, 2, 2, 2, 2), "features": 2, "head_features": 2})
    levels = {name: torch.zeros(1, 2, 8 >> n, 32 >> n, 16 >> n) for n, name in enumerate(("P2", "P3", "P4", "P5"))}
    levels["P3"][0, 0, 1, 11, 5] = 1.0  # z, y, x
    for layer in network.classes:
        if isinstance(layer, torch.nn.Conv3d):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            layer.weight.data[:, 0, 1, 1, 1] = 1.0
    network.classes[-1].weight.data *= torch.arange(27.0)[:, None, None, None, None]  # shape by shape, class by class
    with torch.no_grad():
        said = network.classes(levels)[0]
    every = anchors((64, 128, 8), RETINA_SCALES)
    assert said.shape == (len(every), 3)
    best = int(said[:, 2].argmax())
    assert ((every[best, :3] + every[best, 3:]) / 2).tolist() == pytest.approx([5 * 8 + 0.5, 11 * 8 + 0.5, 1 * 2 + 0.5])
    assert (every[best, 3:] - every[best, :3]).tolist() == pytest.approx(  # the last shape: ratio 2, scale 2^(2/3)
        [16 * 2 ** (2 / 3) / 2**0.5, 16 * 2 ** (2 / 3) * 2**0.5, 4 * 2 ** (2 / 3)])


@pytest.mark.slow
def test_a_breast_is_learnt_by_heart() -> None:
    """With a benign lesion, beside one without, so that there is something that is none."""
    pairs = [breast((LESION, 1)), breast(seed=1)]
    torch.manual_seed(0)
    network = RetinaUNet(**HALF)
    learn(network, torch.stack([image for image, _ in pairs]), [target for _, target in pairs], steps=12, rate=1e-3)
    found = answers(network, pairs[0][0][None])[0]
    assert int(found["labels"][0]) == 1 and float(found["scores"][0]) > 0.5
    assert float(iou(found["boxes"][:1], pairs[0][1]["boxes"])) > 0.7
