"""Hot spots of a volume's map, in millimetres."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.breast_ultrasound.volumes import spots
from pipeline.explain.windows import SlidingWindows
from transforms.grid import Grid


def test_hot_spots_are_in_millimetres() -> None:
    class Bright(torch.nn.Module):
        """Says how bright a crop's middle is."""

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return 10 * image[:, :, image.shape[2] // 2, image.shape[3] // 2, image.shape[4] // 2] - 5

    volume = torch.zeros(1, 1, 21, 41, 61)
    volume[0, 0, 12, 20, 40] = 1.0
    grid = Grid((61, 41, 21), np.diag([-0.5, -0.1, 2.0, 1.0]))
    found = SlidingWindows((3, 3, 3), (4, 4, 4))(volume, Bright())
    hot = spots(found, grid)
    assert hot.points[0] == pytest.approx([-20.0, -2.0, 24.0], abs=1e-6)
    assert hot.scores[0] == pytest.approx(1 / (1 + np.exp(-5)), abs=1e-6)
