"""Saliency on linear networks, whose gradient is their weight, and centroids worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.explain.saliency import centre_of_attention, most_salient, saliency


class Linear(nn.Module):
    """Two logits, each a weighted sum of all pixels; tells which parameters asked for gradients."""

    def __init__(self, negative: torch.Tensor, positive: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([negative, positive]))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.norm = nn.BatchNorm2d(1)
        self.seen: list[bool] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(self.weight.requires_grad or self.norm.training)
        return torch.einsum("bchw,kchw->bk", images, self.weight) + self.frozen


def test_linear_network() -> None:
    negative, positive = torch.randn(2, 3, 4, 5).unbind()
    network, images = Linear(negative, positive), torch.randn(2, 3, 4, 5)
    scores, maps = saliency(network, images)
    torch.testing.assert_close(scores, ((positive - negative) * images).sum(dim=(1, 2, 3)))
    torch.testing.assert_close(maps, (positive - negative).abs().amax(dim=0).expand(2, 4, 5))
    assert not images.requires_grad and not scores.requires_grad and not maps.requires_grad


def test_parameters_and_modes_are_restored() -> None:
    network = Linear(torch.zeros(1, 4, 5), torch.ones(1, 4, 5))
    network.norm.eval()
    with torch.no_grad():  # as in an evaluator
        saliency(network, torch.randn(1, 1, 4, 5))
    assert network.seen == [False]
    assert network.weight.requires_grad and not network.frozen.requires_grad and network.weight.grad is None
    assert network.training and not network.norm.training


def test_images_of_a_batch_do_not_touch() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    images = torch.randn(3, 1, 8, 8)
    scores, maps = saliency(network, images)
    for image, score, single in zip(images, scores, maps, strict=True):
        one_score, one_map = saliency(network, image[None])
        torch.testing.assert_close((one_score[0], one_map[0]), (score, single))


def test_centre_is_the_centroid_of_the_top_percent() -> None:
    maps = torch.rand(2, 10, 20) / 2  # the largest 1 % of 200 pixels: two
    maps[0, 2, 3], maps[0, 4, 8] = 5.0, 1.0  # unweighted: row 3, column 5.5
    maps[1, 9, 19], maps[1, 9, 0] = 1.0, 2.0
    assert centre_of_attention(maps).tolist() == [[3.0, 5.5], [9.0, 9.5]]
    assert most_salient(maps).sum() == 4
    assert centre_of_attention(maps[:1], 0.001).tolist() == [[2.0, 3.0]]  # never less than a pixel


def test_ties_share_the_last_places() -> None:
    maps = torch.zeros(1, 10, 30)  # three places
    maps[0, 0, 0] = 2.0
    maps[0, 5, 3] = maps[0, 5, 12] = maps[0, 2, 21] = maps[0, 8, 24] = 1.0  # four for two places
    weights = most_salient(maps)
    assert weights[0, 0, 0] == 1 and weights[0, 5, 12] == 0.5 and weights.sum() == 3
    assert centre_of_attention(maps).tolist() == [[20 / 2 / 3, 60 / 2 / 3]]


def test_pixels_without_gradient_do_not_count() -> None:
    maps = torch.zeros(2, 10, 31)
    maps[0, 7, 4] = 1e-9  # one pixel where three are asked for
    assert centre_of_attention(maps).tolist() == [[7.0, 4.0], [4.5, 15.0]]  # a map of zeros: the middle


def test_map_that_is_not_finite() -> None:
    with pytest.raises(InputError, match="not finite"):
        centre_of_attention(torch.full((1, 4, 4), torch.nan))
