"""Translations between phases, against shifts made by scipy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from transforms.breast_mri.motion import ShiftEstimator


@pytest.fixture(scope="module")
def phase() -> np.ndarray:
    """A smooth breast with texture and air around it, `(Z, Y, X)`."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (16, 64, 64)), indexing="ij")
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(x.shape), (1, 2, 2))
    return ((1 + 2 * texture) * (1 / (1 + np.exp(20 * (x**2 + y**2 + 0.3 * z**2 - 0.7))))).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 1.15])
@pytest.mark.parametrize("shift", [(0.3, -0.2, 0.1), (0.0, 0.0, 0.0)])
def test_finds_a_small_shift_whatever_the_gain_and_the_uptake(phase, shift, gain) -> None:
    moved = gain * ndimage.shift(phase, shift[::-1], order=3, mode="nearest")
    moved[6:10, 20:40, 30:50] *= 1.8  # takes up contrast
    found = ShiftEstimator(torch.from_numpy(phase))(torch.from_numpy(moved.astype(np.float32)))
    np.testing.assert_allclose(found, shift, atol=0.08)


def test_nothing_to_hold_on_to() -> None:
    flat = torch.ones(8, 16, 16)
    np.testing.assert_array_equal(ShiftEstimator(flat)(flat), 0)
    np.testing.assert_array_equal(ShiftEstimator(torch.rand(1, 4, 4))(torch.rand(1, 4, 4)), 0)


def test_one_slice() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((96, 96)), 3)
    moved = ndimage.shift(image, (0.0, 0.25), order=3, mode="nearest")
    found = ShiftEstimator(torch.from_numpy(image[None]).float())(torch.from_numpy(moved[None]).float())
    np.testing.assert_allclose(found, (0.25, 0, 0), atol=0.05)
