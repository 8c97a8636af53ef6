"""What preparation must not change: a lesion's enhancement, its place and shape in the patient, and known motion."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from transforms import LoadBreasts, LoadLesionSlices
from transforms.grid import Grid

PHASES = ("pre", "post1", "post2", "post3", "post4")
UPTAKE = (1.0, 2.1, 1.95, 1.8, 1.7)  # of the lesion, washing out, against before contrast
TISSUE = (1.0, 1.1, 1.2, 1.25, 1.3)
SHAPE, SPACING = (96, 64, 16), (2.0, 2.2, 6.0)  # axial, R, A, S
LESION = (70, 40, 8)  # voxel of its middle; it spans 7 × 7 × 3
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def affine() -> np.ndarray:
    result = np.diag([*SPACING, 1.0])
    result[:3, 3] = [-95, -60, -45]
    return result


CENTER = tuple((affine() @ [*LESION, 1])[:3])


@cache
def _drawn() -> dict[str, np.ndarray]:
    """Two breasts in a strong bias field, fat and gland, and one lesion; every phase darkened or brightened alike."""
    random = np.random.default_rng(0)
    x, y, z = np.indices(SHAPE)
    breasts = [((x - c) / 20) ** 2 + ((y - 18) / 40) ** 2 + ((z - 7.5) / 9) ** 2 < 1 for c in (25, 70)]
    body = breasts[0] | breasts[1] | (y < 20)
    texture = 1 + 0.25 * ndimage.gaussian_filter(random.standard_normal(SHAPE), (2, 2, 1)) / 0.07
    field = np.exp(0.7 * np.sin(x / 30) + 0.5 * (y / 64))
    inside = np.all(np.abs(np.stack([x, y, z], -1) - LESION) <= (3, 3, 1), axis=-1)
    before = np.where(body, 400 * np.clip(texture, 0.3, None) * field, 2 + random.random(SHAPE))
    return {name: (before * np.where(inside, lesion, np.where(body, tissue, 1.0))).astype(np.float32)
            for name, lesion, tissue in zip(PHASES, UPTAKE, TISSUE, strict=True)}


def draw() -> dict[str, np.ndarray]:
    return dict(_drawn())


def write(folder: Path, arrays: dict[str, np.ndarray], order: tuple[int, ...] = (0, 1, 2),
          signs: tuple[int, ...] = (1, 1, 1)) -> dict[str, Path]:
    """The same exam with its voxels in another order: file axis i runs along `order[i]`, against it where -1."""
    folder.mkdir(parents=True, exist_ok=True)
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for i, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        step[axis, i], step[axis, 3] = sign, step[axis, 3] + (SHAPE[axis] - 1 if sign < 0 else 0)
    paths = {}
    for name, array in arrays.items():
        turned = np.transpose(array, order)[tuple(slice(None, None, sign) for sign in signs)]
        paths[name] = folder / f"{name}.nii"
        nib.save(nib.Nifti1Image(np.ascontiguousarray(turned), affine() @ step), paths[name])
    return paths


def core(array: np.ndarray) -> float:
    """Mean of the lesion in an array `(X, Y, Z)` of the exam as drawn."""
    x, y, z = LESION
    return float(array[x - 3 : x + 4, y - 3 : y + 4, z - 1 : z + 2].mean())


@pytest.fixture(scope="module")
def exam(tmp_path_factory) -> dict[str, Path]:
    return write(tmp_path_factory.mktemp("exam"), draw())


CUT = {"channels": [*PHASES, "sub"], "size": 16, "extent": 6.0, "shrink_factor": (2, 2, 1), "iterations": (10, 10)}


def ratios(exam: dict[str, Path], **options) -> tuple[np.ndarray, torch.Tensor, dict[str, float]]:
    """Enhancement ratios of the lesion in prepared patches, their core, and the curve that the report shows."""
    meta = LoadLesionSlices(**{**CUT, **options})(exam, [("1", CENTER)]).meta
    cores = []
    for place, patch in zip(meta["places"]["1"], meta["patches"]["1"], strict=True):
        rows, columns = np.indices(patch.shape[1:])
        world = place.to_world(np.stack([columns, rows, np.zeros_like(rows)], -1))
        inside = np.all(np.abs(np.asarray(world) - CENTER) <= np.asarray(SPACING) * (3, 3, 1) + 0.1, axis=-1)
        cores.append(patch[:, torch.from_numpy(inside)].mean(dim=1))
    means = torch.stack(cores).mean(dim=0)
    return (means[:5] / means[0]).numpy(), means, meta["curves"]["1"]


def test_lesion_ratios_stay_as_in_the_files(exam) -> None:
    raw = np.array([core(array) for array in draw().values()])
    np.testing.assert_allclose(raw / raw[0], UPTAKE, rtol=1e-6)
    found, means, curve = ratios(exam)
    np.testing.assert_allclose(found, UPTAKE, rtol=0.01)
    assert float(means[5] / means[0]) == pytest.approx(UPTAKE[1] - 1, rel=0.01)  # sub to pre
    np.testing.assert_allclose(np.array(list(curve.values())) / curve["pre"], UPTAKE, rtol=0.01)


def test_fields_and_scales_a_phase_move_them_but_not_the_curve(exam) -> None:
    """The paper's preparation, kept as a choice; what the report shows comes from the files."""
    found, _, curve = ratios(exam, shared=None)
    assert np.abs(found[1:] / UPTAKE[1:] - 1).min() > 0.05
    np.testing.assert_allclose(np.array(list(curve.values())) / curve["pre"], UPTAKE, rtol=0.01)


def test_an_exam_without_the_shared_contrast_takes_the_nearest(exam) -> None:
    without = {name: path for name, path in exam.items() if name != "post2"}
    first = LoadLesionSlices(**CUT)(without, [("1", CENTER)])
    assert first.meta["missing"] == ["post2"]
    named = LoadLesionSlices(**{**CUT, "shared": "post1"})(without, [("1", CENTER)])
    torch.testing.assert_close(first.as_tensor(), named.as_tensor(), rtol=0, atol=0)


def test_breasts_keep_the_ratios_too(exam) -> None:
    breasts = LoadBreasts(PHASES, (192, 128, 16), 96, align=False)(exam)
    grid = Grid(tuple(breasts.shape[2:]), breasts.meta["breast_affines"][1])  # the right one
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    inside = np.all(np.abs(grid.to_world(index) - CENTER) <= np.asarray(SPACING) * (2.5, 2.5, 0.5), axis=-1)
    means = breasts[1].as_tensor()[:, torch.from_numpy(inside)].mean(dim=1)
    np.testing.assert_allclose(means / means[0], UPTAKE, rtol=0.01)


@pytest.fixture(scope="module")
def upright(exam) -> dict:
    return LoadLesionSlices(**{**CUT, "iterations": []})(exam, [("1", CENTER)]).meta


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_patches_are_the_same_in_all_48_orientations(upright, tmp_path, order, signs) -> None:
    """Without a bias field, which takes long; it is estimated on the patient's axes as well (next test)."""
    turned = write(tmp_path, {name: draw()[name] for name in ("pre", "post1", "post2")}, order, signs)
    found = LoadLesionSlices(**{**CUT, "channels": ["pre", "post1", "sub"], "iterations": []})(
        turned, [("1", CENTER)]).meta
    wanted = upright["patches"]["1"][:, [0, 1, 5]]
    torch.testing.assert_close(found["patches"]["1"], wanted, rtol=0, atol=0)
    for place, own in zip(found["places"]["1"], upright["places"]["1"], strict=True):
        np.testing.assert_allclose(place.affine, own.affine, atol=1e-4)


def test_corrected_patches_and_masks_are_the_same_however_stored(exam, tmp_path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    x, y, z = LESION
    mask[x - 3 : x + 4, y - 3 : y + 4, z - 1 : z + 2] = 1
    found = []
    for i, (order, signs) in enumerate([((0, 1, 2), (1, 1, 1)), ((2, 1, 0), (-1, -1, 1)), ((1, 2, 0), (-1, 1, -1))]):
        paths = write(tmp_path / str(i), {**draw(), "lesions_mask": mask}, order, signs)
        meta = LoadLesionSlices(**CUT)({c: paths[c] for c in PHASES}, [("1", CENTER)], paths["lesions_mask"]).meta
        found.append(meta["patches"]["1"])
    assert len(found[0]) == 3
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


def test_breasts_are_the_same_however_stored(exam, tmp_path) -> None:
    wanted = LoadBreasts(PHASES[:2], (96, 64, 16), 48)(exam)
    for i, (order, signs) in enumerate([((2, 1, 0), (-1, -1, 1)), ((0, 1, 2), (-1, -1, 1)), ((1, 0, 2), (1, -1, -1))]):
        turned = write(tmp_path / str(i), {name: draw()[name] for name in PHASES[:2]}, order, signs)
        found = LoadBreasts(PHASES[:2], (96, 64, 16), 48)(turned)
        torch.testing.assert_close(found.as_tensor(), wanted.as_tensor(), rtol=1e-4, atol=1e-4)


def test_patches_of_one_size_in_millimetres(tmp_path) -> None:
    """30 mm from exams of 0.6 and 1.2 mm: the same field of view, the lesion as large in both."""
    found = []
    for spacing in (0.6, 1.2):
        shape = (round(96 / spacing), round(96 / spacing), 5)
        grid = Grid(shape, np.diag([spacing, spacing, 4.0, 1.0])).resized(shape)
        x, y = (np.arange(n) * spacing + spacing / 2 for n in shape[:2])
        disc = np.hypot(x[:, None] - 40, y[None] - 50) < 6
        array = np.repeat(np.where(disc, 900.0, 300.0)[..., None], 5, axis=2).astype(np.float32)
        array[:3] = 1
        affine = grid.affine.copy()
        affine[:2, 3] = spacing / 2
        paths = {}
        for name in ("pre", "post1", "post2"):
            paths[name] = tmp_path / f"{spacing}{name}.nii"
            nib.save(nib.Nifti1Image(array, affine), paths[name])
        meta = LoadLesionSlices(["pre"], size=50, size_mm=30.0, extent=0.0, iterations=[])(
            paths, [("1", (40.0, 50.0, 8.0))]).meta
        np.testing.assert_allclose(meta["places"]["1"][0].spacing[:2], 0.6)
        np.testing.assert_allclose(meta["places"]["1"][0].to_world([24.5, 24.5, 0]), [40, 50, 8], atol=1e-4)
        patch = meta["patches"]["1"][0, 0]
        found.append(float((patch > patch.median() * 2).sum()) * 0.36)
    np.testing.assert_allclose(found, np.pi * 36, rtol=0.05)  # mm²


@pytest.mark.parametrize("shift_mm", [(3.0, 0.0, 0.0), (-1.5, 2.0, 0.0)])
def test_motion_of_known_size_is_found(exam, tmp_path, shift_mm) -> None:
    """The patient moves between phases: what `shifts` says, in voxels of a breast, is that motion; ratios come back."""
    arrays = draw()
    voxels = np.asarray(shift_mm) / SPACING
    arrays["post1"] = ndimage.shift(arrays["post1"], voxels, order=3, mode="nearest")
    moved = write(tmp_path, {name: arrays[name] for name in ("pre", "post1")})
    breasts = LoadBreasts(("pre", "post1"), (192, 128, 16), 96)(moved)
    for s, side in enumerate(breasts.meta["sides"]):
        step = breasts.meta["breast_affines"][s][:3, :3]
        found = step @ np.asarray(breasts.meta["shifts"]["post1"][s])
        np.testing.assert_allclose(found, shift_mm, atol=0.3, err_msg=side)
