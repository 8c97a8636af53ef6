"""The curriculum paper's ResNet18: its size and shapes, and its numbers against a plain forward pass."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.curriculum_resnet import CurriculumResNet


def filled(seed: int, in_channels: int = 6) -> CurriculumResNet:
    """A network whose every weight is drawn, the classifier's too, which starts at zero."""
    torch.manual_seed(seed)
    network = CurriculumResNet(in_channels).eval()
    for parameter in network.classifier.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.fixture
def network() -> CurriculumResNet:
    return filled(0)


def reference(state: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """The paper's figure read line by line, slices last, both average pools kept: logits of (B, C, X, Y, Z)."""

    def conv(x, name, stride=1, padding=0):
        weight = state[f"backbone.{name}.weight"].permute(0, 1, 4, 3, 2)  # (…, z, y, x) to (…, x, y, z)
        return F.conv3d(x, weight, stride=stride, padding=padding)

    def block(x, name, stride=1):
        y = F.leaky_relu(F.instance_norm(conv(x, f"{name}.conv1", stride, 1)), 0.01)
        y = F.instance_norm(conv(y, f"{name}.conv2", 1, 1))
        if f"backbone.{name}.shortcut.0.weight" in state:
            x = F.instance_norm(conv(x, f"{name}.shortcut.0", stride))
        return F.leaky_relu(x + y, 0.01)

    x = F.leaky_relu(F.instance_norm(conv(image, "0", (2, 2, 1), 3)), 0.01)
    x = F.max_pool3d(x, 3, (2, 2, 1), 1)
    x = block(block(x, "4"), "5")
    x = F.max_pool3d(x, 3, (2, 2, 1), 1)
    x = block(block(x, "7"), "8")
    x = block(block(x, "9", 2), "10")
    x = block(block(x, "11", 2), "12")
    x = F.avg_pool3d(x, (2, 2, 1), (2, 2, 1))
    x = F.adaptive_avg_pool3d(x, 1)
    weight, bias = state["classifier.weight"].flatten(1), state["classifier.bias"]
    return x.flatten(1) @ weight.T + bias


def test_parameters_by_stage(network) -> None:
    stages = {"C1": (0,), "C2": (4, 5), "C3": (7, 8), "C4": (9, 10), "C5": (11, 12)}
    count = {name: sum(p.numel() for i in layers for p in network.backbone[i].parameters())
             for name, layers in stages.items()}
    assert count == {"C1": 37_044, "C2": 35_316, "C3": 123_120, "C4": 492_480, "C5": 1_969_920}
    assert sum(p.numel() for p in network.classifier.parameters()) == 290
    assert sum(p.numel() for p in network.parameters()) == 2_658_170


@pytest.mark.parametrize(("patch", "c5"), [((64, 64, 4), (144, 1, 2, 2)), ((256, 256, 32), (144, 8, 8, 8))])
def test_shape_of_c5(network, patch, c5) -> None:
    assert network.to("meta").features(torch.rand(1, 6, *patch, device="meta")).shape[1:] == c5  # slices first


@pytest.mark.parametrize("size", [(2, 6, 64, 64, 4), (1, 6, 64, 128, 8), (1, 6, 128, 64, 12)])
def test_logits_equal_a_plain_forward_pass(network, size) -> None:
    network = network.double()
    image = torch.randn(size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(network.state_dict(), image), rtol=1e-9, atol=1e-9)


def test_norms_are_not_affine_and_convolutions_have_no_bias(network) -> None:
    layers = list(network.backbone.modules())
    norms = [layer for layer in layers if isinstance(layer, nn.InstanceNorm3d)]
    assert norms and all(not norm.affine and not norm.track_running_stats for norm in norms)
    assert all(layer.bias is None for layer in layers if isinstance(layer, nn.Conv3d))
    assert network.classifier.bias.shape == (2,)


def test_initialisation_is_kaiming_uniform_over_the_fan_out(network) -> None:
    for layer in network.backbone.modules():
        if isinstance(layer, nn.Conv3d):
            bound = math.sqrt(2) * math.sqrt(3 / (layer.out_channels * math.prod(layer.kernel_size)))
            assert 0.98 * bound < layer.weight.detach().abs().max() <= bound
            assert float(layer.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_an_untrained_network_says_neither() -> None:
    """The classifier starts at zero, so that it does not spoil the features that stage 2 takes over."""
    with torch.no_grad():
        assert (CurriculumResNet()(torch.randn(1, 6, 64, 64, 4)) == 0).all()


def test_both_memory_layouts_give_the_same_logits(network) -> None:
    slices_last = torch.randn(2, 6, 64, 96, 8)
    slices_first = slices_last.permute(0, 1, 4, 3, 2).contiguous().permute(0, 1, 4, 3, 2)
    assert slices_first.stride() != slices_last.stride()
    with torch.no_grad():
        assert torch.equal(network(slices_last), network(slices_first))


def test_the_mean_of_the_activation_map_is_the_logit(network) -> None:
    image = torch.randn(2, 6, 96, 64, 8)
    with torch.no_grad():
        logits, maps = network.activation_map(image)
        assert maps.shape == (2, 2, 3, 2, 2)  # (B, classes, X/32, Y/32, Z/4)
        torch.testing.assert_close(maps.mean(dim=(2, 3, 4)), network(image), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits, network(image), rtol=1e-4, atol=1e-5)


def test_a_cell_of_the_map_looks_at_its_own_multiple_of_the_stride() -> None:
    """Every stride of 2 keeps the first voxel: cell (i, j, k) of C5 is centred on voxel (32 i, 32 j, 4 k)."""
    seen = torch.zeros(128, 128, 12)
    for seed in range(4):
        network = filled(seed, in_channels=1)
        image = torch.randn(1, 1, *seen.shape, requires_grad=True)
        network.activation_map(image)[1][0, 0, 2, 2, 1].backward()
        seen += image.grad[0, 0] ** 2
    seen /= seen.sum()
    center = [float((seen.sum(dim=[d for d in range(3) if d != axis]) * torch.arange(n)).sum())
              for axis, n in enumerate(seen.shape)]
    assert center == pytest.approx([64, 64, 4], abs=5)


def test_torchscript_is_equal(network, tmp_path) -> None:
    torch.jit.script(network).save(tmp_path / "model.ts")
    scripted = torch.jit.load(tmp_path / "model.ts")
    image = torch.randn(1, 6, 64, 64, 8)
    with torch.no_grad():
        assert torch.equal(scripted(image), network(image))
        assert all(map(torch.equal, scripted.activation_map(image), network.activation_map(image)))
