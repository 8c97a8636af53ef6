"""Grids and resampling, against scipy on the same points and by hand."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from transforms.grid import Grid
from transforms.resample import resample

AFFINE = np.array([[-0.9, 0, 0, 20.0], [0, -1.1, 0, 30.0], [0, 0, 3.0, -10.0], [0, 0, 0, 1]])


def tilted(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


@pytest.fixture
def volume() -> np.ndarray:
    return np.asfortranarray(np.random.default_rng(0).integers(-500, 1000, (40, 50, 12)).astype(np.int16))


def reference(array: np.ndarray, source: Grid, target: Grid) -> np.ndarray:
    """Point by point with scipy, in world coordinates; only points inside the border voxels' centres are kept."""
    index = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)
    at = source.to_index(target.to_world(index))
    values = ndimage.map_coordinates(array.astype(float), np.moveaxis(at, -1, 0), order=1, mode="nearest")
    inside = ((at >= 0) & (at <= np.asarray(array.shape) - 1)).all(-1)
    outside = ((at < -0.51) | (at > np.asarray(array.shape) - 0.49)).any(-1)
    return np.where(inside, values, np.where(outside, 0, np.nan))


@pytest.mark.parametrize("target", [
    pytest.param(lambda g: g.canonical(), id="reoriented"),
    pytest.param(lambda g: g.canonical().resized((64, 60, 20)), id="resized"),
    pytest.param(lambda g: g.canonical().resized((64, 60, 20)).cropped((-4, 5, 2), (40, 30, 30)).flipped(0),
                 id="cropped"),
    pytest.param(lambda g: Grid((30, 20, 10), tilted(7) @ np.diag([1.3, 1.2, 0.9, 1])), id="oblique"),
    pytest.param(lambda g: Grid((12, 50, 40), g.affine @ np.eye(4)[:, [2, 1, 0, 3]]), id="axes-swapped"),
])
def test_equals_scipy_at_the_same_points(volume, target) -> None:
    source = Grid(volume.shape, AFFINE)
    wanted = target(source)
    found = resample(volume, source, wanted).permute(2, 1, 0).numpy()
    expected = reference(volume, source, wanted)
    known = ~np.isnan(expected)
    assert known.mean() > 0.5
    np.testing.assert_allclose(found[known], expected[known], atol=2e-2)


def test_identity_is_exact_and_buffer_is_used(volume) -> None:
    source = Grid(volume.shape, AFFINE)
    buffer = torch.full((12, 50, 40), torch.nan)
    assert resample(volume, source, source, out=buffer) is buffer
    np.testing.assert_array_equal(buffer.numpy(), volume.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64, np.float32])
def test_any_voxel_type(volume, dtype) -> None:
    array = np.abs(volume).astype(dtype)
    source = Grid(array.shape, AFFINE)
    np.testing.assert_array_equal(resample(array, source, source).numpy(), array.T.astype(np.float32))


def test_canonical_is_nibabels() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    image = nib.Nifti1Image(array, np.array([[0, 2, 0, 1], [0, 0, -3, 2], [-1, 0, 0, 3], [0, 0, 0, 1.0]]))
    expected = nib.as_closest_canonical(image)
    grid = Grid(array.shape, image.affine)
    found = resample(array, grid, grid.canonical()).permute(2, 1, 0).numpy()
    np.testing.assert_allclose(grid.canonical().affine, expected.affine)
    np.testing.assert_array_equal(found, expected.get_fdata())
