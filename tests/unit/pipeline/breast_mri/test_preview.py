"""The picture of an answered exam, read back."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
import torch

from pipeline.breast_mri.preview import chosen_slice, save_preview
from transforms.grid import Grid

PLACE = Grid((40, 40, 3), np.eye(4))


def test_the_right_breast_is_on_the_left_and_anterior_is_up(tmp_path) -> None:
    breasts, heat = torch.zeros(2, 2, 40, 40, 3), torch.zeros(2, 40, 40, 3)
    breasts[1, 1, :, 30:, 1] = 1.0  # R: bright in its anterior quarter, in the slice of its peak alone
    heat[1, 5, 5, 1] = heat[0, 5, 5, 2] = 0.9
    result = {"probabilities": {"L": 0.1, "R": 0.8}}
    save_preview(breasts, heat, result, tmp_path / "a.png", [PLACE, PLACE], PLACE, shown=1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    picture = matplotlib.image.imread(tmp_path / "a.png")[..., :3].mean(axis=2)
    below = picture[len(picture) // 5 :]  # under the titles
    panels = np.array_split(below, 4, axis=1)
    assert panels[0].mean() > 10 * panels[2].mean() + 0.05  # R, then L, which is dark
    upper, lower = np.array_split(panels[0], 2)
    assert upper.mean() > 5 * lower.mean()
    assert panels[1].mean() > 0 and panels[1].std() > 0


@pytest.mark.parametrize(("axes", "number"), [
    (np.diag([1.0, 1.0, 3.0, 1.0]), 22),  # z = 67.5 mm lies in the exam's slice 22 of 3 mm
    (np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -3, 118], [0, 0, 0, 1]]), 17),  # from above: (118 - 67.5) / 3
    (np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [3, 0, 0, 0], [0, 0, 0, 1]]), 22),  # slices are the file's first axis
])
def test_the_slice_is_counted_as_the_exam_s_own_file_counts(axes: np.ndarray, number: int) -> None:
    shape = (40, 60, 60) if axes[2, 0] else (60, 60, 40)
    place = Grid((60, 60, 16), np.diag([1.0, 1.0, 7.5, 1.0]))  # prepared: 16 slices of 7.5 mm
    heat = torch.zeros(60, 60, 16)
    heat[30, 20, 9] = 0.4
    assert chosen_slice(heat, place, Grid(shape, axes)) == (9, f"heat map, slice {number} of 0–39")


def test_a_map_without_heat_is_titled_so_and_shows_the_middle() -> None:
    exam = Grid((60, 60, 40), np.diag([1.0, 1.0, 3.0, 1.0]))
    place = Grid((60, 60, 16), np.diag([1.0, 1.0, 7.5, 1.0]))
    assert chosen_slice(torch.zeros(60, 60, 16), place, exam) == (8, "no heat at all; slice 20 of 0–39")
