"""The small works of a training sample: augmentation, resampling alone, reading a prepared breast."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure
import monai.transforms as mt
import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

from transforms.augment import RandRotateFlip
from transforms.grid import Grid
from transforms.read_prepared import LoadPreparedd
from transforms.resample import resample

_SOURCE = (448, 448, 60)
_TARGET = (512, 512, 32)
_PHASES = 5


def report_augmentation(breast: Path, repeats: int) -> list[str]:
    """Measure rotation and mirroring of one breast; returns Markdown."""
    ways = ("ours", "MONAI RandRotated, RandFlipd", "MONAI RandAffined, RandFlipd")
    runs = measure.take_turns({way: measure.Work(partial(_augment, way, breast), 7) for way in ways}, repeats)
    inner, all_over = measure.in_child(_rotation_difference, breast)
    return [
        "## Rotation and mirroring of one breast",
        "",
        "6×256×256×32, rotated about the slice axis by up to ±15° and mirrored in plane, linear, air from",
        "outside: `transforms.RandRotateFlip` against MONAI, each on its own usual memory order.",
        "",
        *_rows(runs, ways),
        "At the same angle and mirroring, ours and MONAI's `Rotate` and `Flip` differ by at most",
        f"{all_over:.1e} ({inner:.1e} away from the border), in units of tissue.",
        "",
    ]


def _augment(way: str, path: Path) -> Callable[[], Any]:
    breast = LoadPreparedd("image")({"image": path})["image"]
    turn = math.radians(15)
    flips = [mt.RandFlipd("image", 0.5, axis) for axis in (0, 1)]
    if way == "ours":
        move: Any = RandRotateFlip()
        data: Any = breast
    else:
        if "RandRotated" in way:
            rotate: Any = mt.RandRotated("image", range_z=turn, prob=1.0, padding_mode="zeros")
        else:
            rotate = mt.RandAffined("image", prob=1.0, rotate_range=(0.0, 0.0, turn), padding_mode="zeros")
        move, data = mt.Compose([rotate, *flips]), {"image": MetaTensor(breast.contiguous())}
    move.set_random_state(0)
    move(data)
    return lambda: _forget(move(data))


def _rotation_difference(path: Path) -> tuple[float, float]:
    breast = LoadPreparedd("image")({"image": path})["image"]
    ours = RandRotateFlip()
    ours.angle, ours.signs = math.radians(11.0), (-1.0, 1.0)
    got = ours(breast, randomize=False)
    flipped = mt.Flip(0)(breast.contiguous())
    # The sense of rotation is a matter of taste: take the one that is ours.
    gaps = []
    for sign in (1, -1):
        turned = mt.Rotate((0.0, 0.0, sign * ours.angle), padding_mode="zeros", align_corners=True)
        for expected in (turned(flipped), mt.Flip(0)(turned(breast.contiguous()))):
            gap = (expected.as_tensor() - got).abs()
            gaps.append((float(gap[:, 48:-48, 48:-48].max()), float(gap.max())))
    return min(gaps)


def report_resampling(repeats: int) -> list[str]:
    """Measure the resampling of five phases; returns Markdown."""
    works = {way: measure.Work(partial(_ready, way), 3) for way in _WAYS}
    runs = measure.take_turns(works, repeats)
    gaps = measure.in_child(_resampling_differences)
    return [
        "## Resampling alone",
        "",
        "Five phases of 448×448×60 int16 to 512×512×32 float32, same field of view, from memory to memory.",
        "Ours writes into buffers that are used again. MONAI's two run in float64, their default.",
        "",
        *_rows(runs, tuple(_WAYS)),
        "Ours averages along an axis that shrinks, as the slices do here; the others interpolate. Where all axes grow",
        "(28 slices to 32), the largest difference to ours is, relative to the largest voxel (`Spacing` on the grid",
        "that it chose itself; the weights are multiples of 1/16, so that no rounding is possible): "
        + "; ".join(f"{way} {gap:.1e}" for way, gap in gaps.items()) + ".",
        "",
    ]


def _source(slices: int = _SOURCE[2]) -> tuple[np.ndarray, Grid, Grid]:
    """Phases `(T, X, Y, Z)`, each in Fortran order as files hold them, their grid, and the wanted grid."""
    shape = (*_SOURCE[:2], slices)
    voxels = np.random.default_rng(0).integers(0, 2000, (_PHASES, *shape[::-1]), dtype=np.int16)
    grid = Grid(shape, np.diag([0.8, 0.8, 2.0, 1.0]))
    return voxels.transpose(0, 3, 2, 1), grid, grid.resized(_TARGET)


def _with_ours(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], torch.Tensor]:
    out = torch.empty((_PHASES, *_TARGET[::-1]))

    def run() -> torch.Tensor:
        for phase, buffer in zip(phases, out, strict=True):
            resample(phase, source, target, out=buffer)
        return out

    return run


def _with_interpolate(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], torch.Tensor]:
    image = torch.from_numpy(phases.transpose(0, 3, 2, 1))[None]
    return lambda: F.interpolate(image.float(), _TARGET[::-1], mode="trilinear", align_corners=False)[0]


def _spacing(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], MetaTensor]:
    image = MetaTensor(torch.from_numpy(np.ascontiguousarray(phases)), affine=torch.from_numpy(source.affine))
    move = mt.Spacing(target.spacing.tolist(), mode="bilinear", padding_mode="border", scale_extent=True)
    return lambda: move(image)


def _with_spacing(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], torch.Tensor]:
    run = _spacing(phases, source, target)
    return lambda: run().as_tensor().permute(0, 3, 2, 1)


def _with_match(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], torch.Tensor]:
    image = MetaTensor(torch.from_numpy(np.ascontiguousarray(phases)), affine=torch.from_numpy(source.affine))
    like = MetaTensor(torch.empty(1, *_TARGET), affine=torch.from_numpy(target.affine))
    move = mt.ResampleToMatch(mode="bilinear", padding_mode="border")
    return lambda: move(image, like).as_tensor().permute(0, 3, 2, 1)


def _with_itk(phases: np.ndarray, source: Grid, target: Grid) -> Callable[[], torch.Tensor]:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())
    images = [sitk.GetImageFromArray(phase.T) for phase in phases]
    for image in images:
        image.SetSpacing(source.spacing.tolist())
    frame = (target.affine[:3, 3].tolist(), target.spacing.tolist(), np.eye(3).ravel().tolist())

    def run() -> torch.Tensor:
        how = (_TARGET, sitk.Transform(), sitk.sitkLinear, *frame, 0.0, sitk.sitkFloat32)
        moved = [sitk.Resample(image, *how) for image in images]
        return torch.stack([torch.from_numpy(sitk.GetArrayViewFromImage(image)) for image in moved])

    return run


_WAYS = {
    "ours": _with_ours,
    "torch F.interpolate": _with_interpolate,
    "MONAI Spacing": _with_spacing,
    "MONAI ResampleToMatch": _with_match,
    "SimpleITK Resample": _with_itk,
}


def _ready(way: str) -> Callable[[], Any]:
    run = _WAYS[way](*_source())
    run()
    return lambda: _forget(run())


def _resampling_differences() -> dict[str, float]:
    phases, source, target = _source(28)  # all axes grow, where all ways interpolate
    found = {}
    for way, ready in _WAYS.items():
        if way == "ours":
            continue
        grid = target
        if way == "MONAI Spacing":  # it places the slices elsewhere: ours is compared on the grid that it chose
            grid = Grid(_TARGET, _spacing(phases, source, target)().affine.numpy())
        ours = _with_ours(phases, source, grid)()
        found[way] = float((ready(phases, source, target)() - ours).abs().max() / ours.max())
    return found


def report_reading(breast: Path, folder: Path, repeats: int) -> list[str]:
    """Measure the reading of one breast; returns Markdown."""
    measure.in_child(_write_volumes, breast, folder)
    ways = ("ours", "MONAI LoadImage, six .nii.gz")
    works = {way: measure.Work(partial(_read, way, breast, folder), 7) for way in ways}
    runs = measure.take_turns(works, repeats)
    return [
        "## Reading one breast",
        "",
        "File to float32 tensor, files in the system's cache: the prepared `.npy` (float16, memory-mapped)",
        "against the same breast as six int16 `.nii.gz`, one a contrast.",
        "",
        *_rows(runs, ways),
    ]


def _write_volumes(breast: Path, folder: Path) -> None:
    for channel, voxels in enumerate(np.load(breast).astype(np.float32)):
        stored = np.rint(voxels.T * 150).astype(np.int16)  # about what a scanner writes
        image = nib.Nifti1Image(stored, np.eye(4))
        nib.save(image, folder / f"channel{channel}.nii.gz")


def _read(way: str, breast: Path, folder: Path) -> Callable[[], Any]:
    if way == "ours":
        load, source = LoadPreparedd("image"), {"image": breast}
    else:
        load, source = mt.LoadImage(image_only=True), sorted(folder.glob("channel*.nii.gz"))
    load(source)
    return lambda: _forget(load(source))


def _forget(result: Any) -> None:
    """The result is computed by now and needs no memory while the clock stands."""


def _rows(runs: Any, ways: tuple[str, ...]) -> list[str]:
    rows = []
    for n in measure.THREADS:
        base = runs["ours", n]
        for way in ways:
            r = runs[way, n]
            rows.append([str(n), way, r.time(1e3), r.times(base), f"{r.added:,.0f}"])
    return [*measure.table(["threads", "way", "ms", "× ours", "MB added"], rows), measure.told(runs), ""]
