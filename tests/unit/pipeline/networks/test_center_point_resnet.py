"""The ultrasound paper's network against MONAI's."""

from __future__ import annotations

import torch
from monai.networks.nets import resnet18

from pipeline.explain.grad_cam import grad_cam
from pipeline.networks.center_point_resnet import CenterPointResNet


def test_the_papers_network() -> None:
    network = CenterPointResNet()
    assert sum(p.numel() for p in network.parameters()) == 33_161_409
    plain = resnet18(spatial_dims=3, n_input_channels=1, num_classes=1, conv1_t_stride=2, bias_downsample=True)
    plain.load_state_dict(network.state_dict())
    image = torch.rand(1, 1, 16, 64, 64)
    assert torch.equal(network.eval()(image), plain.eval()(image))
    _, cells = grad_cam(network, torch.rand(1, 1, 16, 160, 160), 0)
    assert cells.shape == (1, 1, 1, 5, 5) and network.strides == (32, 32, 32)
