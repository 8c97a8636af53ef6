"""Where an exam's voxels end up, and what the grey values mean."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_mri.specs import draw_cohort
from transforms import LoadBreasts
from transforms.grid import Grid

CHANNELS = ["pre", "post1", "t2"]


SPEC = draw_cohort(4, seed=2)[1]


PRESET = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (56, 56, 8), (5.5, 5.5, 15.0))


FINE = ((128, 128, 16), 64)  # finer than PRESET, so that a single bright voxel is not stepped over


def turned(angle: float, axis: int) -> np.ndarray:
    a, b = [i for i in range(3) if i != axis]
    matrix, radians = np.eye(4), np.radians(angle)
    matrix[[a, b, a, b], [a, b, b, a]] = [np.cos(radians), np.cos(radians), -np.sin(radians), np.sin(radians)]
    return matrix


@pytest.fixture(scope="module")
def body() -> dict[str, np.ndarray]:
    """One synthetic exam; its first axis runs to the left and its second to posterior, as scanners write them."""
    return breast_mri.make_exam(SPEC, PRESET, np.random.default_rng(0))


def point(side: str, outwards: float) -> np.ndarray:
    """A point in a breast, RAS mm, `outwards` (−1 … 1) from its centre towards the patient's side."""
    breast = SPEC.anatomy.breasts[side]
    u, y, z = breast.center
    return np.array([SPEC.midline_mm + u + outwards * np.sign(u) * breast.axes[0], y + 0.4 * breast.axes[1], z])


@pytest.mark.parametrize("outwards", [-0.5, 0.3])
@pytest.mark.parametrize(("turn", "turn_t2"), [
    pytest.param(np.eye(4), np.eye(4), id="as acquired"),
    pytest.param(turned(8, 2) @ turned(-6, 0), np.eye(4), id="oblique"),
    pytest.param(np.eye(4), turned(4, 2) @ turned(5, 1), id="T2 turned against the phases"),
])
def test_a_bright_voxel_arrives_where_it_was(body, tmp_path, turn, turn_t2, outwards) -> None:
    planted: dict[tuple[str, str], np.ndarray] = {}  # its centre, RAS mm
    paths = {}
    for contrast in CHANNELS:
        is_t2 = contrast == "t2"
        affine = turn @ (turn_t2 @ body["t2_affine"] if is_t2 else body["affine"])
        array = body[contrast].copy()
        grid = Grid(array.shape, affine)
        for side in "LR":
            wanted = turn @ np.append(point(side, outwards), 1)
            index = np.rint(grid.to_index(wanted[:3])).astype(int)
            array[tuple(index)] = 3 * body[contrast].max()
            planted[contrast, side] = affine[:3, :3] @ index + affine[:3, 3]
        paths[contrast] = tmp_path / f"{contrast}.nii.gz"
        nib.save(nib.Nifti1Image(array, affine), paths[contrast])

    breasts = LoadBreasts(CHANNELS, *FINE)(paths)
    assert breasts.meta["sides"] == ["L", "R"] and breasts.shape == (2, 3, 64, 64, 16)
    for s, side in enumerate("LR"):
        grid = Grid(tuple(breasts.shape[2:]), breasts.meta["breast_affines"][s])
        for c, contrast in enumerate(CHANNELS):
            voxels = breasts[s, c].numpy()
            brightest = np.array(np.unravel_index(voxels.argmax(), voxels.shape))
            assert np.abs(brightest - grid.to_index(planted[contrast, side])).max() <= 1


def test_breasts_are_mirror_images_and_sides_are_the_patients(body, tmp_path) -> None:
    paths = {contrast: tmp_path / f"{contrast}.nii.gz" for contrast in CHANNELS}
    for contrast, path in paths.items():
        nib.save(nib.Nifti1Image(body[contrast], body["t2_affine" if contrast == "t2" else "affine"]), path)
    breasts = LoadBreasts(CHANNELS, *FINE)(paths)
    assert breasts.permute(0, 1, 4, 3, 2).is_contiguous()
    for affine, side, sign in zip(breasts.meta["breast_affines"], "LR", (-1, 1), strict=True):
        grid = Grid((64, 64, 16), affine)
        x = grid.to_world([[0, 32, 8], [63, 32, 8]])[:, 0] - SPEC.midline_mm
        assert sign * x[1] > 100 and abs(x[0]) < 12  # RAS: the right breast lies at x > 0, x runs outwards
        low, high = grid.to_world([[32, 0, 0], [32, 63, 15]])
        assert low[1] < high[1] and low[2] < high[2]  # to anterior, to superior
        near, far = grid.to_index(point(side, -0.5)), grid.to_index(point(side, 0.5))
        assert 0 < near[0] < far[0] < 64
    only_right = LoadBreasts(CHANNELS, *FINE, sides=["R"])(paths)
    np.testing.assert_array_equal(only_right[0].numpy(), breasts[1].numpy())


def test_air_is_zero_and_enhancement_stays_as_measured(body, tmp_path) -> None:
    paths = {contrast: tmp_path / f"{contrast}.nii.gz" for contrast in CHANNELS}
    for contrast, path in paths.items():
        factor = 1 if contrast == "pre" else 2  # a second phase twice as bright everywhere
        image = body["t2"] if contrast == "t2" else factor * body["pre"]
        nib.save(nib.Nifti1Image(image, body["t2_affine" if contrast == "t2" else "affine"]), path)
    breasts = LoadBreasts(CHANNELS, *FINE, align=False)(paths).numpy()
    np.testing.assert_allclose(breasts[:, 1], 2 * breasts[:, 0], atol=1e-4)
    assert breasts[:, [0, 2], :, -1].max() < 0.3  # in front of the breasts is air
    bright = breasts[:, 0] > 0.5
    assert 0.7 < breasts[:, 0][bright].mean() < 1.4  # one unit is the mean of tissue
