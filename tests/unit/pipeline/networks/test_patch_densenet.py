"""The comparator's patch network against a plain forward pass over its public names."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.networks.checkpoint import load_weights
from pipeline.networks.patch_densenet import FoldedDenseNet, PatchDenseNet, pad_same


def reference(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Huang et al. 2017 over torchvision's names, in evaluation mode, for patches `(B, 3, 256, 256)`."""

    def norm_relu(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.relu(F.batch_norm(x, *(weights[f"features.{name}.{part}"]
                                        for part in ("running_mean", "running_var", "weight", "bias"))))

    def conv(x: torch.Tensor, name: str, stride: int = 1, padding: int = 0) -> torch.Tensor:
        return F.conv2d(x, weights[f"features.{name}.weight"], stride=stride, padding=padding)

    x = norm_relu(conv(F.pad(x, (2, 3, 2, 3)), "conv0", 2), "norm0")  # 'SAME': five zeros for 256 pixels, 2 + 3
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)  # one zero for 128
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, depth + 1):
            name = f"denseblock{block}.denselayer{layer}"
            y = conv(norm_relu(x, f"{name}.norm1"), f"{name}.conv1")
            x = torch.cat([x, conv(norm_relu(y, f"{name}.norm2"), f"{name}.conv2", padding=1)], dim=1)
        if block < 4:
            x = F.avg_pool2d(conv(norm_relu(x, f"transition{block}.norm"), f"transition{block}.conv"), 2)
    return F.linear(norm_relu(x, "norm5").mean(dim=(2, 3)), weights["classifier.weight"], weights["classifier.bias"])


@pytest.fixture(scope="module")
def network() -> PatchDenseNet:
    torch.manual_seed(0)
    network = PatchDenseNet().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network


@pytest.fixture(scope="module")
def patches() -> torch.Tensor:
    return torch.randn(2, 1, 256, 256, generator=torch.Generator().manual_seed(1))


def test_parameters_are_the_papers(network) -> None:
    assert sum(p.numel() for p in network.parameters()) == 6_957_956


def test_equals_the_reference(network, patches, tmp_path) -> None:
    torch.save(network.state_dict(), tmp_path / "patches.p")
    loaded = load_weights(PatchDenseNet(), tmp_path / "patches.p").eval()
    with torch.no_grad():
        expected = reference(network.state_dict(), patches.expand(-1, 3, -1, -1))
        torch.testing.assert_close(loaded(patches), expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(loaded(patches.expand(-1, 3, -1, -1)), expected, rtol=1e-3, atol=1e-3)


def test_same_padding() -> None:
    ones = torch.ones(1, 1, 5, 8)
    assert pad_same(ones, 3, 2).shape == (1, 1, 7, 9)  # 3 outputs of 5: 2·2 + 3 = 7; 4 of 8: 3·2 + 3 = 9
    assert pad_same(ones, 3, 2)[0, 0, 1].tolist() == [1] * 8 + [0]


@pytest.mark.parametrize("signs", ["positive", "mixed"])
def test_folded_network_is_the_same_function(network, patches, signs) -> None:
    changed = PatchDenseNet().eval()
    changed.load_state_dict(network.state_dict())
    if signs == "mixed":  # falling and dead channels
        for module in changed.modules():
            if isinstance(module, nn.BatchNorm2d):
                with torch.no_grad():
                    module.weight[::5] *= -1
                    module.weight[1::7] = 0
    with torch.no_grad():
        expected = changed(patches).softmax(dim=1)
    torch.testing.assert_close(FoldedDenseNet(changed)(patches), expected, rtol=0, atol=1e-4)
    rough = FoldedDenseNet(changed, torch.bfloat16)(patches)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, expected, rtol=0, atol=0.05)
