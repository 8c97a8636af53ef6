"""Grad-CAM of slabs of a volume."""

from __future__ import annotations

import pytest
import torch

from pipeline.explain.grad_cam import slab_map
from pipeline.networks.center_point_resnet import CenterPointResNet


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_slab_map_lies_on_the_slice(network) -> None:
    volume = torch.rand(1, 20, 70, 90)
    found = slab_map(network, volume, 1)
    assert found.shape == (70, 90) and found.min() >= 0 and found.max() <= 1
