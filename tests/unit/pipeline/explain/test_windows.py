"""Maps of whole volumes against a plain double loop."""

from __future__ import annotations

import pytest
import torch

from pipeline.explain.windows import SlidingWindows
from pipeline.networks.center_point_resnet import CenterPointResNet


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_a_map_is_the_networks_answer_for_each_crop(network) -> None:
    volume = torch.rand(1, 1, 20, 40, 50)
    with torch.no_grad():
        found = SlidingWindows((8, 32, 32), (4, 8, 8))(volume, network)["map"]
        padded = torch.nn.functional.pad(volume, (16, 16, 16, 16, 4, 4))
        for i, j, k in ((0, 0, 0), (2, 3, 1), (5, 4, 4)):
            x, y, z = (int(s + n * i) for s, n, i in zip(found.start + 0.5, found.step, (i, j, k), strict=True))
            crop = padded[:, :, z : z + 8, y : y + 32, x : x + 32]  # around voxel (z, y, x)
            assert found.heat[i, j, k] == pytest.approx(float(network(crop).sigmoid()), abs=1e-6)
    # Between the middles of windows the map is linear, on them it is exact.
    z = found.start[2] + found.step[2] * 1.5
    plane = found.plane((50, 40, 20), z)
    x, y = found.start[:2] + found.step[:2]  # half voxels: between two of the plane
    near = plane[int(y) : int(y) + 2, int(x) : int(x) + 2].mean()
    assert near == pytest.approx(found.heat[1, 1, 1:3].mean(), abs=2e-3)
    assert found.whole((50, 40, 20)).shape == (50, 40, 20)
