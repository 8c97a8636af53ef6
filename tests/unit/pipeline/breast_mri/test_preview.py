"""The picture of an answered exam, read back."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import torch

from pipeline.breast_mri.preview import save_preview


def test_the_right_breast_is_on_the_left_and_anterior_is_up(tmp_path) -> None:
    breasts, heat = torch.zeros(2, 2, 40, 40, 3), torch.zeros(2, 40, 40, 3)
    breasts[1, 1, :, 30:, 1] = 1.0  # R: bright in its anterior quarter, in the slice of its peak alone
    heat[1, 5, 5, 1] = heat[0, 5, 5, 2] = 0.9
    save_preview(breasts, heat, {"probabilities": {"L": 0.1, "R": 0.8}}, tmp_path / "a.png", shown=1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    picture = matplotlib.image.imread(tmp_path / "a.png")[..., :3].mean(axis=2)
    below = picture[len(picture) // 5 :]  # under the titles
    panels = np.array_split(below, 4, axis=1)
    assert panels[0].mean() > 10 * panels[2].mean() + 0.05  # R, then L, which is dark
    upper, lower = np.array_split(panels[0], 2)
    assert upper.mean() > 5 * lower.mean()
    assert panels[1].mean() > 0 and panels[1].std() > 0
