"""Grids: points, borders and fields of view, by hand."""

from __future__ import annotations

import numpy as np

from transforms.grid import Grid

AFFINE = np.array([[-0.9, 0, 0, 20.0], [0, -1.1, 0, 30.0], [0, 0, 3.0, -10.0], [0, 0, 0, 1]])


def tilted(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


def test_resizing_keeps_the_field_of_view() -> None:
    grid = Grid((10, 10, 4), np.diag([2.0, 2.0, 5.0, 1.0]))
    half = grid.resized((5, 5, 2))
    np.testing.assert_allclose(half.spacing, [4, 4, 10])
    np.testing.assert_allclose(half.to_world([-0.5, -0.5, -0.5]), grid.to_world([-0.5, -0.5, -0.5]))
    np.testing.assert_allclose(half.to_world([4.5, 4.5, 1.5]), grid.to_world([9.5, 9.5, 3.5]))


def test_points_and_borders() -> None:
    grid = Grid((10, 8, 4), tilted(3))
    index = np.array([[0, 0, 0], [3.25, 7, 1.5]])
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, atol=1e-12)
    assert grid.contains(grid.to_world([-0.4, 0, 0])) and not grid.contains(grid.to_world([-0.6, 0, 0]))
    assert grid.matches(Grid((10, 8, 4), grid.affine + 0.01 * np.eye(4)[:, [3, 0, 1, 2]].T * 0))
    assert not grid.matches(grid.flipped(0))
    assert not grid.matches(grid.cropped((0, 0, 1), (10, 8, 4)))
