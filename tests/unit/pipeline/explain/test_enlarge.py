"""Linear enlargement against numpy's interpolation, axis by axis, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.explain.enlarge import between, enlarged


def test_cells_lie_on_multiples_of_the_stride() -> None:
    found = enlarged(torch.tensor([[[0.0, 4.0, 2.0]]]), (10,), (4,))
    assert found[0, 0].tolist() == [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 2]  # behind the last cell its value


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_equals_numpy_along_every_axis(axis: int) -> None:
    maps = torch.rand(3, 4, 5, dtype=torch.float64)
    places = torch.linspace(-1, 6, 29, dtype=torch.float64)
    found = between(maps, axis, places)
    cells = np.arange(maps.shape[axis])
    expected = np.apply_along_axis(lambda row: np.interp(places.numpy(), cells, row), axis, maps.numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_a_single_cell_is_everywhere() -> None:
    assert (enlarged(torch.full((1, 1, 1, 1), 0.5), (3, 4), (32, 32)) == 0.5).all()
