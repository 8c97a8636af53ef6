"""Grad-CAM against MONAI's, the right way up, and of slabs of a volume."""

from __future__ import annotations

import pytest
import torch
from monai.visualize import GradCAM

from pipeline.explain.grad_cam import GradCamInferer, grad_cam, over_maximum, slab_map
from pipeline.networks.center_point_resnet import CenterPointResNet
from pipeline.networks.imagenet_resnet import transfer_resnet34


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_slab_map_lies_on_the_slice(network) -> None:
    volume = torch.rand(1, 20, 70, 90)
    found = slab_map(network, volume, 1)
    assert found.shape == (70, 90) and found.min() >= 0 and found.max() <= 1


def test_grad_cam_is_monais_the_right_way_up() -> None:
    """Cell by cell, on random weights: MONAI's before its default postprocessing, which maps the maximum to 0."""
    torch.manual_seed(0)
    for network, image, output in [(transfer_resnet34(3).eval(), torch.rand(1, 3, 96, 128), 1),
                                   (CenterPointResNet((4, 4, 8, 8)).eval(), torch.rand(1, 1, 16, 48, 64), 0)]:
        theirs = GradCAM(nn_module=network, target_layers="layer4", upsampler=lambda size: lambda cells: cells,
                         postprocessing=lambda cells: cells)(image, class_idx=output)
        logits, ours = grad_cam(network, image, output)
        torch.testing.assert_close(logits, network(image))
        torch.testing.assert_close(ours, torch.as_tensor(theirs).detach(), rtol=1e-3, atol=1e-6)
        assert ours.max() > 0 and all(parameter.requires_grad for parameter in network.parameters())


def test_the_peak_is_the_probability_and_nothing_stays_nothing() -> None:
    torch.manual_seed(1)
    network = transfer_resnet34(3)
    network.fc.weight.data.abs_()  # or nothing may speak for malignancy
    answer = GradCamInferer()(torch.rand(3, 3, 64, 64), network)
    peaks = answer["heatmap"].flatten(1).amax(dim=1)
    torch.testing.assert_close(peaks, answer["logits"].softmax(dim=1)[:, 1])
    assert answer["heatmap"].shape == (3, 64, 64) and float(answer["heatmap"].min()) >= 0
    assert torch.equal(over_maximum(torch.tensor([[0.0, 0.0], [1.0, 4.0]])), torch.tensor([[0.0, 0.0], [0.25, 1.0]]))
