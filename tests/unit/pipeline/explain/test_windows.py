"""Maps of whole volumes against a plain double loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.explain.windows import SlidingWindows, WindowMap
from pipeline.networks.center_point_resnet import CenterPointResNet
from transforms.grid import Grid


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def test_a_map_is_the_networks_answer_for_each_crop(network) -> None:
    volume = torch.rand(1, 1, 20, 40, 50)
    with torch.no_grad():
        found = WindowMap.of(SlidingWindows((8, 32, 32), (4, 8, 8))(volume, network))
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


def test_a_map_goes_through_a_host_and_onto_another_grid() -> None:
    """Windows at voxels 2 and 6 of 10; the other grid's voxels are half as large, so they are at 4.5 and 12.5."""
    found = WindowMap(np.random.rand(2, 2, 2).astype(np.float32), np.full(3, 2.0), np.full(3, 4.0))
    sent = found.tensors()
    assert all(isinstance(value, torch.Tensor) and len(value) == 1 for value in sent.values())
    for answer in (sent, {name: value[0] for name, value in sent.items()}):  # MONAI Label takes the first
        back = WindowMap.of(answer)
        for name, value in vars(found).items():
            np.testing.assert_array_equal(getattr(back, name), value)
    volume = Grid((10, 10, 10), np.diag([-1.0, 2.0, 3.0, 1.0]))
    finer = found.on(volume, volume.resized((20, 20, 20)))
    np.testing.assert_allclose(finer.start, [4.5] * 3)
    np.testing.assert_allclose(finer.step, [8.0] * 3)
