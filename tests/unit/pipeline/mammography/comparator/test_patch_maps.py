"""Heat maps against classifying every patch by itself, and the fast classifier against a plain forward pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.mammography.comparator.patch_maps import PatchHeatMaps, average, starts
from pipeline.networks.patch_densenet import CLASSES, PatchDenseNet


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
