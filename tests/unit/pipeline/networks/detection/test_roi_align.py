"""RoIAlign against trilinear interpolation voxel by voxel, and of a field that is known everywhere."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pipeline.networks.detection.roi_align import level_of, pyramid_roi_align, roi_align


def at(features: torch.Tensor, x: float, y: float, z: float) -> torch.Tensor:
    """Trilinear interpolation of `(C, Z, Y, X)` at a place in cells, the edge's value beyond the edge."""
    total = torch.zeros(len(features), dtype=torch.float64)
    inside = [min(max(v, 0.0), n - 1.0) for v, n in zip((z, y, x), features.shape[1:], strict=True)]
    for corner in itertools.product((0, 1), repeat=3):
        cell, weight = [], 1.0
        for value, up, n in zip(inside, corner, features.shape[1:], strict=True):
            low = math.floor(value)
            weight *= value - low if up else 1 - (value - low)
            cell.append(min(low + up, n - 1))
        total += weight * features[(slice(None), *cell)].double()
    return total


def slow(features: torch.Tensor, boxes: torch.Tensor, bins: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
    cut = torch.zeros(len(boxes), len(features), *bins[::-1], dtype=torch.float64)
    for n, box in enumerate(boxes.double().tolist()):
        for i, j, k in itertools.product(*map(range, bins)):
            place = [box[a] + (box[a + 3] - box[a]) * (b + 0.5) / bins[a] for a, b in enumerate((i, j, k))]
            cut[n, :, k, j, i] = at(features, *((p - 0.5) / s for p, s in zip(place, stride, strict=True)))
    return cut


@pytest.mark.parametrize("stride", [(1, 1, 1), (4, 4, 1), (32, 32, 8)])
def test_equal_to_interpolation_cell_by_cell(stride) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 4, 5, 6)
    size = torch.tensor([6, 5, 4]) * torch.tensor(stride)
    lower = torch.rand(3, 3) * size * 0.7
    boxes = torch.cat([lower, lower + torch.rand(3, 3) * size * 0.4], dim=1)  # some reach beyond the image
    torch.testing.assert_close(roi_align(features, boxes, (5, 4, 3), stride).double(),
                               slow(features, boxes, (5, 4, 3), stride), rtol=1e-4, atol=1e-4)


def test_a_linear_field_is_read_at_the_bins_middles() -> None:
    """f = x + 10 y + 100 z at the middle of voxel (x, y, z), of a map with one cell for 4 × 4 × 1 voxels."""
    z, y, x = torch.meshgrid(torch.arange(8.0), torch.arange(0, 64, 4.0), torch.arange(0, 64, 4.0), indexing="ij")
    field, box = (x + 10 * y + 100 * z)[None] + 0.5 * 111, torch.tensor([[8.0, 16, 2, 24, 20, 6]])
    cut = roi_align(field, box, (4, 2, 2), (4, 4, 1))
    middles = torch.tensor([10.0, 14, 18, 22])[None, None, :] + 10 * torch.tensor([17.0, 19])[None, :, None] \
        + 100 * torch.tensor([3.0, 5])[:, None, None]
    torch.testing.assert_close(cut[0, 0], middles)


def test_gradients_reach_the_features_and_them_alone() -> None:
    features = torch.zeros(1, 4, 8, 8, requires_grad=True)
    roi_align(features, torch.tensor([[2.0, 2, 1, 4, 4, 2]]), (2, 2, 1)).sum().backward()
    assert features.grad.sum() == pytest.approx(4) and (features.grad != 0).sum() == 4  # four bins on four voxels


def test_each_box_is_read_from_the_level_of_its_size() -> None:
    def box(x: float, y: float) -> list[float]:
        return [0, 0, 0, x, y, 2]

    sides = [(1, 1), (8, 8), (11, 11), (12, 12), (64, 4), (32, 32), (64, 64), (250, 250)]
    assert level_of(torch.tensor([box(x, y) for x, y in sides])).tolist() == [0, 0, 0, 1, 1, 2, 3, 3]


def test_a_pyramid_s_regions_keep_their_order() -> None:
    """Every level holds its own number, the second image's ten more."""
    pyramid = {f"P{n}": torch.full((2, 3, 8 >> (n - 2), 64 >> n, 64 >> n), float(n)) for n in (2, 3, 4, 5)}
    for level in pyramid.values():
        level[1] += 10
    small, middle, large = [1.0, 1, 0, 9, 9, 2], [1.0, 1, 0, 17, 17, 4], [0.0, 0, 0, 64, 64, 8]
    boxes = [torch.tensor([large, small, middle]), torch.tensor([small, large])]
    cut = pyramid_roi_align(pyramid, boxes, (7, 7, 3))
    assert cut.shape == (5, 3, 3, 7, 7)
    assert cut.mean(dim=(1, 2, 3, 4)).tolist() == pytest.approx([5, 2, 3, 12, 15])
    none = pyramid_roi_align(pyramid, [torch.zeros(0, 6), torch.zeros(0, 6)], (7, 7, 3))
    assert none.shape == (0, 3, 3, 7, 7)
