"""The ultrasound paper's network against MONAI's, and its evidence against its logit and Grad-CAM."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from monai.networks.nets import resnet18
from monai.visualize import GradCAM

from pipeline.networks.center_point_resnet import CenterPointResNet


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_the_papers_network() -> None:
    network = CenterPointResNet()
    assert sum(p.numel() for p in network.parameters()) == 33_161_409
    plain = resnet18(spatial_dims=3, n_input_channels=1, num_classes=1, conv1_t_stride=2, bias_downsample=True)
    plain.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 16, 64, 64)
    assert torch.equal(network.eval()(image), plain.eval()(image))
    with torch.no_grad():
        assert network.evidence(torch.rand(1, 1, 16, 160, 160)).shape == (1, 1, 1, 5, 5)


def test_evidence_averages_to_the_logit_and_is_grad_cam(network) -> None:
    network, image = copy.deepcopy(network), torch.rand(1, 1, 16, 96, 128)
    network.fc.weight.data.abs_()  # or all of the map may be negative, and cut off
    with torch.no_grad():
        evidence = network.evidence(image)
        assert torch.allclose(evidence.mean(), network(image)[0, 0], atol=1e-5)
    # MONAI scales its map to 0-1 and turns it around; ours is the plain one up to a positive factor and the bias.
    cam = GradCAM(nn_module=network, target_layers="layer4", upsampler=lambda x: lambda y: y,
                  postprocessing=lambda x: x)(image, class_idx=0)
    ours = (evidence - network.fc.bias).clamp(min=0).detach().numpy().ravel()
    theirs = torch.as_tensor(cam).detach().numpy().ravel()
    scale = theirs.max() / ours.max()
    np.testing.assert_allclose(theirs, ours * scale, rtol=1e-3, atol=1e-6 * theirs.max())
