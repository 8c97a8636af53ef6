"""Heat maps against classifying every patch by itself, and the fast classifier against a plain forward pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline.errors import InputError
from pipeline.mammography.comparator.patch_maps import PatchHeatMaps, average, starts
from pipeline.networks.checkpoint import load_weights
from pipeline.networks.patch_densenet import CLASSES, FoldedDenseNet, PatchDenseNet, pad_same


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


def test_starts_reach_from_end_to_end() -> None:
    assert starts(256).tolist() == [0]
    assert starts(326).tolist() == [0, 70]
    assert starts(400).tolist() == [0, 48, 96, 144]  # 144 pixels in three steps
    assert starts(500, 122).tolist() == [0, 122, 244]


def test_average_of_overlaps() -> None:
    values = torch.tensor([[[1.0, 2.0]], [[0.0, 4.0]]])
    maps = average(values, torch.tensor([0]), torch.tensor([0, 100]), torch.Size((256, 356)))
    assert maps.shape == (2, 256, 356)
    assert maps[0, 7, [0, 99, 100, 255, 256, 355]].tolist() == [1, 1, 1.5, 1.5, 2, 2]
    assert maps[1, 255, [0, 100, 355]].tolist() == [0, 2, 4]


class Mean:
    """Stands for the classifier: probabilities from a patch's mean."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(patches))
        mean = patches.mean(dim=(1, 2, 3))
        return torch.stack([mean, mean * 10, mean * 0, mean * 0 - 1], dim=1)


def test_every_patch_counts_and_air_is_classified_once(network) -> None:
    view = torch.full((520, 400), -0.5)
    view[300:, :60] = torch.rand(220, 60)  # the first column of patches alone sees it, from row 53 on
    maps, mean = PatchHeatMaps(network, step=122, batch=3), Mean()
    maps.classify = mean
    benign, malignant = maps(view)
    total, count = torch.zeros(2, 520, 400, dtype=torch.float64), torch.zeros(520, 400)
    for row in (0, 88, 176, 264):
        for column in (0, 72, 144):
            box = slice(row, row + 256), slice(column, column + 256)
            total[0][box] += view[box].double().mean() * 10
            total[1][box] += view[box].double().mean()
            count[box] += 1
    torch.testing.assert_close(torch.stack([benign, malignant]), (total / count).float())
    assert CLASSES[:2] == ("malignant", "benign") and mean.sizes == [3, 1]


def test_precision(network) -> None:
    view = torch.randn(256, 256)
    exact = PatchHeatMaps(network)(view)
    maps = PatchHeatMaps(network, "bf16")
    torch.testing.assert_close(maps(view), exact, rtol=0, atol=0.02)
    assert maps.classify.dtype == torch.bfloat16
    with pytest.raises(InputError, match="precision is 'half'"):
        PatchHeatMaps(network, "half")


def test_bfloat16_that_disagrees(network, capsys) -> None:
    view, plain = torch.randn(256, 256), PatchHeatMaps(network)
    for precision in ("bf16", "auto"):
        maps = PatchHeatMaps(network, precision)
        maps._fast = lambda patches: plain.classify(patches) + 0.1
        if precision == "bf16":
            with pytest.raises(InputError, match=r"of patches by up to 0\.1; use --precision fp32"):
                maps(view)
        else:
            assert torch.equal(maps(view), plain(view)) and "precision: fp32, because" in capsys.readouterr().out


def test_view_smaller_than_a_patch(network) -> None:
    with pytest.raises(InputError, match="200×300 pixels, less than a patch of 256"):
        PatchHeatMaps(network)(torch.zeros(200, 300))
