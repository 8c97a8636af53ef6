"""Where the breasts are, on bodies drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from transforms.breast_mri.breasts import Layout, breast_grids
from transforms.errors import InputError
from transforms.grid import Grid

SHAPE = (100, 80, 12)  # 4 × 4 × 10 mm; x grows to the right, y to anterior
GRID = Grid(SHAPE, np.array([[4.0, 0, 0, -180], [0, 4.0, 0, -100], [0, 0, 10.0, -55], [0, 0, 0, 1]]))
LAYOUT = Layout((100, 80, 12), 40)


def body(middle: float = 50) -> np.ndarray:
    """A chest up to row 30 and two breasts of 12 columns' radius, 16 columns from the midline."""
    x, y, _ = np.indices(SHAPE)
    chest = (y < 30) & (abs(x - middle) < 34)
    breasts = (abs(abs(x - middle) - 16) ** 2 + (y - 30) ** 2 < 12**2) & (y >= 30)
    return np.where(chest | breasts, 200.0, 2.0) + np.random.default_rng(0).uniform(0, 2, SHAPE)


@pytest.mark.parametrize("middle", [50, 44])
def test_each_breast_starts_at_the_midline_and_runs_outwards(middle: int) -> None:
    grids = breast_grids(body(middle), GRID, LAYOUT)
    at = GRID.to_world([[middle - 0.5, 0, 0]])[0, 0]  # the midline, RAS mm
    for side, sign in (("L", -1), ("R", 1)):
        grid = grids[side]
        assert tuple(grid.shape) == (50, 40, 12)
        (first, last) = grid.to_world([[0, 0, 0], [49, 0, 0]])[:, 0]
        assert abs(first - at) <= 12 and sign * (last - first) == pytest.approx(49 * 4)
        for point in ([middle + sign * 16, 36, 6], [middle + sign * 16, 41, 2]):  # in the breast
            assert grid.contains(GRID.to_world(point))
        low, high = grid.to_world([[0, 0, 0], [0, 39, 11]])
        assert high[1] > low[1] and high[2] > low[2]  # to anterior, to superior


def test_what_is_not_asked_for_is_not_made() -> None:
    assert list(breast_grids(body(), GRID, LAYOUT, ("R",))) == ["R"]


def test_a_single_breast_is_taken_as_it_lies() -> None:
    grids = breast_grids(np.zeros(SHAPE), GRID, Layout((40, 80, 6), 30, "single"))
    whole = np.array([[-180, -100, -55], [216, 216, 55]])
    for side, sign in (("R", 1), ("L", -1)):
        corners = grids[side].to_world([[-0.5, -0.5, -0.5], [19.5, 29.5, 5.5]])[:: 1]
        assert tuple(grids[side].shape) == (20, 30, 6)
        np.testing.assert_allclose(corners[::, 0][::sign], whole[:, 0] + [-2, 2])  # outer edges of the image


@pytest.mark.parametrize(("array", "layout", "message"), [
    (np.zeros(SHAPE), LAYOUT, "no body can be made out"),
    (np.full(SHAPE, 9.0), LAYOUT, "no body can be made out"),
    (np.zeros(SHAPE), Layout(field_of_view="both"), "use 'bilateral' or 'single'"),
])
def test_images_and_settings_that_cannot_be_used(array, layout, message) -> None:
    with pytest.raises(InputError, match=message):
        breast_grids(array, GRID, layout)
