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
    pytest.param(lambda g: Grid((30, 20, 10), tilted(7) @ np.diag([0.9, 0.8, 0.9, 1])), id="oblique"),
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


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("diameter", range(2, 7))  # mm
def test_lesions_survive_thicker_slices(diameter, reverse) -> None:
    """Slices of 1 mm to 5 mm: a lesion's mass stays, and its contrast is the part of a slice that it fills.

    A column of `diameter` voxels fills at best min(diameter, 5) / 5 of a slice, at worst, cut in two by the border of
    slices, half of that. Interpolation, which looks at two slices of five, loses small lesions whole.
    """
    source = Grid((3, 3, 60), np.diag([1.0, 1, 1, 1]))
    thick = source.resized((3, 3, 12))
    thick = thick.flipped(2) if reverse else thick
    for first in range(20, 30):
        array = np.zeros(source.shape, np.int16)
        array[1, 1, first : first + diameter] = 1000
        found = resample(array, source, thick).numpy()[:, 1, 1]
        assert found.sum() * 5 == pytest.approx(1000 * diameter, rel=1e-6)
        inside = [len(set(range(first, first + diameter)) & set(range(5 * k, 5 * k + 5))) for k in range(12)]
        np.testing.assert_allclose(found, 200.0 * np.asarray(inside[::-1] if reverse else inside), rtol=1e-6)
        assert found.max() >= 1000 * min(diameter, 5) / 5 / 2


def test_shrinking_averages_noise() -> None:
    noise = np.random.default_rng(0).standard_normal((40, 40, 100)).astype(np.float32)
    source = Grid(noise.shape, AFFINE)
    found = resample(noise, source, source.canonical().resized((40, 40, 20)))
    assert float(found.std()) == pytest.approx(5**-0.5, rel=0.02)  # of five values each; interpolation leaves 1


def test_weights_are_the_parts_of_voxels_by_hand() -> None:
    """Five voxels to two: each takes two whole ones and half of the middle; cropped and reversed, too."""
    array = np.array([1.0, 2, 4, 8, 16], np.float32).reshape(5, 1, 1)
    source = Grid((5, 1, 1), np.eye(4))
    half = source.resized((2, 1, 1))
    expected = [(1 + 2 + 2) / 2.5, (2 + 8 + 16) / 2.5]
    np.testing.assert_allclose(resample(array, source, half).numpy().ravel(), expected)
    np.testing.assert_allclose(resample(array, source, half.flipped(0)).numpy().ravel(), expected[::-1])
    beyond = resample(array, source, half.cropped((-1, 0, 0), (4, 1, 1))).numpy().ravel()
    np.testing.assert_allclose(beyond, [0, *expected, 0])
    part = resample(array, source, half.cropped((1.2, 0, 0), (1, 1, 1))).numpy()  # voxels 3 to 5.5: half of it is there
    assert part.item() == pytest.approx((8 + 16) / 2)


@pytest.mark.parametrize("affine", [AFFINE, tilted(8)], ids=["parallel", "oblique"])
def test_a_small_lesion_keeps_its_mass_on_a_coarse_grid(affine) -> None:
    """A lesion of 3.6 × 4.4 × 6 mm on voxels of 0.9 × 1.1 × 3 mm, onto a grid three times as coarse in plane."""
    array = np.zeros((60, 60, 12), np.float32)
    array[30:34, 27:31, 5:7] = 100
    source = Grid(array.shape, AFFINE)
    coarse = Grid((20, 20, 12), affine @ np.diag([3, 3, 1, 1.0]) @ np.block([[np.eye(3), np.array([[1 / 3], [1 / 3],
                                                                             [0]])], [np.zeros((1, 3)), 1]]))
    found = resample(array, source, coarse)
    assert float(found.sum()) * 9 == pytest.approx(array.sum(), rel=0.15 if affine is not AFFINE else 1e-4)


def test_canonical_is_nibabels() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    image = nib.Nifti1Image(array, np.array([[0, 2, 0, 1], [0, 0, -3, 2], [-1, 0, 0, 3], [0, 0, 0, 1.0]]))
    expected = nib.as_closest_canonical(image)
    grid = Grid(array.shape, image.affine)
    found = resample(array, grid, grid.canonical()).permute(2, 1, 0).numpy()
    np.testing.assert_allclose(grid.canonical().affine, expected.affine)
    np.testing.assert_array_equal(found, expected.get_fdata())
