"""An exam on disk to the two prepared breasts on disk: ours, MONAI's own transforms, TorchIO."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import measure
import monai.transforms as mt
import numpy as np
import SimpleITK as sitk
import torch
import torchio as tio
from measure import Stopwatch

import transforms.breast_mri.exam_files as exam_files
import transforms.breast_mri.load_breasts as load_breasts
from transforms.breast_mri.breasts import breast_grids
from transforms.grid import Grid
from transforms.intensity import tissue_scale
from transforms.load import read_image

PHASES = ("pre", "post1", "post2", "post3", "post4")
CHANNELS = (*PHASES, "t2")
STAGES = ("read", "resample", "rest")


@dataclass(frozen=True)
class Exam:
    """An exam's files, and what our own search found in them, which the others are given for nothing.

    Attributes:
        paths: by contrast.
        grid: the whole exam in the wanted matrix, axes R, A, S.
        middle: first column right of the midline, in voxels of `grid`.
        start: first row of the crop.
        breast: `(x, y, z)` of one breast.
    """

    paths: dict[str, str]
    grid: Grid
    middle: int
    start: int
    breast: tuple[int, int, int]

    @classmethod
    def find(cls, folder: Path, matrix: tuple[int, int, int] = (512, 512, 32), rows: int = 256) -> Exam:
        """Find crop and midline of the exam in a folder."""
        paths = {c: str(folder / f"{c}.nii.gz") for c in CHANNELS}
        image = read_image(paths["pre"])
        source = Grid(image.array.shape, image.affine)
        layout = load_breasts.Layout(matrix, rows)
        exam = source.canonical().resized(matrix)
        right = breast_grids(image.array, source, layout, ("R",))["R"]
        middle, start, _ = np.rint(exam.to_index(right.affine[:3, 3])).astype(int).tolist()
        return cls(paths, exam, middle, start, layout.breast_shape)


def ours(exam: Exam, watch: Stopwatch, align: bool = False) -> list[torch.Tensor]:
    """`transforms.LoadBreasts`, with clocks where it reads and resamples; `prepare.yaml` aligns phases as well."""
    plain = {"read_image": (exam_files, "read"), "resample": (load_breasts, "resample")}
    kept = {name: getattr(module, name) for name, (module, _) in plain.items()}

    def clocked(name: str, *arguments: Any, **options: Any) -> Any:
        with watch(plain[name][1]):
            return kept[name](*arguments, **options)

    try:
        for name, (module, _) in plain.items():
            setattr(module, name, partial(clocked, name))
        load = load_breasts.LoadBreasts(CHANNELS, exam.grid.shape, exam.breast[1], align=align)
        return [breast.permute(0, 3, 2, 1) for breast in load(exam.paths).as_tensor()]
    finally:
        for name, (module, _) in plain.items():
            setattr(module, name, kept[name])


def monai(exam: Exam, watch: Stopwatch, quick: bool = False) -> list[torch.Tensor]:
    """MONAI's dictionary transforms.

    Args:
        exam: the exam.
        watch: takes the stages.
        quick: `Resized` and float32 in place of `Spacingd` and `ResampleToMatchd` in float64, the default.
    """
    load = mt.Compose([mt.LoadImaged(CHANNELS, image_only=True), mt.EnsureChannelFirstd(CHANNELS)])
    orient = mt.Compose([
        mt.Orientationd(CHANNELS, axcodes="RAS"),
        mt.ConcatItemsd(PHASES, "image"),
        mt.DeleteItemsd(list(PHASES)),
    ])
    size, spacing = exam.grid.shape, exam.grid.spacing.tolist()
    phases = mt.Resized("image", size, mode="trilinear", align_corners=False) if quick else (
        mt.Spacingd("image", spacing, mode="bilinear", padding_mode="border", scale_extent=True))
    dtype = np.float32 if quick else np.float64
    resample = mt.Compose([
        phases,
        mt.ResampleToMatchd("t2", "image", mode="bilinear", padding_mode="zeros", dtype=dtype),
    ])
    with watch("read"):
        data = load({c: exam.paths[c] for c in CHANNELS})
    scales = {key: tissue_scale(data[key][0].numpy()[::4, ::4]) for key in ("pre", "t2")}
    data = orient(data)
    with watch("resample"):
        data = resample(data)
    data["image"] /= scales["pre"]
    data["t2"] /= scales["t2"]
    breasts = []
    for side, left in (("L", exam.middle - exam.breast[0]), ("R", exam.middle)):
        start = (left, exam.start, 0)
        steps = [
            mt.ConcatItemsd(["image", "t2"], "image"),
            mt.SpatialCropd("image", roi_start=start, roi_end=np.add(start, exam.breast)),
            *([mt.Flipd("image", 0)] if side == "L" else []),
            mt.SpatialPadd("image", exam.breast, method="end"),  # where the body is not in the image's middle
        ]
        breasts.append(mt.Compose(steps)(data)["image"].as_tensor().permute(0, 3, 2, 1))
    return breasts


def torchio(exam: Exam, watch: Stopwatch) -> list[torch.Tensor]:
    """TorchIO's transforms; they resample with SimpleITK."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())
    subject = tio.Subject({c: tio.ScalarImage(exam.paths[c]) for c in CHANNELS})
    with watch("read"):
        subject.load()
    scales = {c: tissue_scale(subject[c].data[0].numpy()[::4, ::4]) for c in ("pre", "t2")}
    subject = tio.ToCanonical(copy=False)(subject)
    for image in subject.get_images():  # TorchIO keeps the stored type: voxels would be rounded to int16
        image.set_data(image.data.float())
    with watch("resample"):
        subject = tio.Resample((exam.grid.shape, exam.grid.affine), copy=False)(subject)
    half, rows, _ = exam.breast
    width, height, _ = exam.grid.shape
    breasts = []
    for side, left in (("L", exam.middle - half), ("R", exam.middle)):
        low, high = max(left, 0), min(left + half, width)
        crop = tio.Crop((low, width - high, exam.start, height - exam.start - rows, 0, 0))
        pad = tio.Pad((low - left, left + half - high, 0, 0, 0, 0))
        side_subject = pad(crop(subject))
        channels = [side_subject[c].data / scales["t2" if c == "t2" else "pre"] for c in CHANNELS]
        breast = torch.cat(channels)
        breasts.append((breast.flip(1) if side == "L" else breast).permute(0, 3, 2, 1))
    return breasts


WAYS: dict[str, Callable[[Exam, Stopwatch], list[torch.Tensor]]] = {
    "ours": ours,
    "ours, phases aligned": partial(ours, align=True),
    "MONAI, Spacingd": monai,
    "MONAI, Resized, float32": partial(monai, quick=True),
    "TorchIO": torchio,
}


def write(breasts: list[torch.Tensor], folder: Path) -> list[Path]:
    """Write breasts as prepared arrays, float16 `(C, Z, Y, X)`."""
    paths = []
    for number, breast in enumerate(breasts):
        paths.append(folder / f"breast{number}.npy")
        np.save(paths[-1], np.ascontiguousarray(breast.half().numpy()))
    return paths


def work(way: str, folder: Path, small: Path, output: Path) -> Callable[[], dict[str, float]]:
    """Warm up on a small exam; returns one exam's preparation, which returns its stages."""
    exam = Exam.find(folder)
    write(WAYS[way](Exam.find(small, (192, 192, 16), 96), Stopwatch()), output)

    def run() -> dict[str, float]:
        start, watch = time.perf_counter(), Stopwatch()
        write(WAYS[way](exam, watch), output)
        return {**watch.seconds, "rest": time.perf_counter() - start - sum(watch.seconds.values())}

    return run


def differences(folder: Path) -> dict[str, tuple[float, float]]:
    """Largest difference to ours: of the phases, and of T2 where its own voxels surround ours.

    With 48 slices, so that all axes grow: where one shrinks ours averages and the others interpolate.
    """
    exam = Exam.find(folder, (512, 512, 48))
    reference = ours(exam, Stopwatch())
    layout = load_breasts.Layout(exam.grid.shape, exam.breast[1])
    pre, t2 = read_image(exam.paths["pre"]), read_image(exam.paths["t2"])
    grids = breast_grids(pre.array, Grid(pre.array.shape, pre.affine), layout)
    sources = (Grid(t2.array.shape, t2.affine), exam.grid)  # the others pad beyond the phases' edge
    known = [_surrounded(grid, sources) for grid in grids.values()]
    found = {}
    for way, function in WAYS.items():
        if way.startswith("ours"):
            continue
        gaps = [(a - b).abs() for a, b in zip(reference, function(exam, Stopwatch()), strict=True)]
        found[way] = (max(float(gap[:5].max()) for gap in gaps),
                      max(float(gap[5][inside].max()) for gap, inside in zip(gaps, known, strict=True)))
    return found


def _surrounded(grid: Grid, sources: Sequence[Grid]) -> torch.Tensor:
    """Voxels `(Z, Y, X)` of a grid that lie between voxels of the others."""
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in grid.shape], indexing="ij"), -1)
    world, inside = grid.to_world(index), np.ones(grid.shape, bool)
    for source in sources:
        at = source.to_index(world)
        inside &= np.all((at > -1e-4) & (at < np.asarray(source.shape) - 1 + 1e-4), axis=-1)
    return torch.from_numpy(np.ascontiguousarray(inside.T))


def report(folder: Path, small: Path, output: Path, repeats: int) -> list[str]:
    """Measure the preparation of one exam; returns Markdown."""
    gaps = measure.in_child(differences, folder)
    works = {way: measure.Work(partial(work, way, folder, small, output)) for way in WAYS}
    runs = measure.take_turns(works, repeats)
    rows = []
    for n in measure.THREADS:
        base = runs["ours", n]
        for way in WAYS:
            r = runs[way, n]
            memory = "" if r is base else f"{r.added / base.added:.1f}"
            stages = [f"{r.stage(stage):.2f}" for stage in STAGES]
            held = [f"{r.peak:,.0f}", f"{r.added:,.0f}", memory]
            rows.append([str(n), way, r.time(), r.times(base), *stages, *held])
    imports = runs["ours", 1].results[0].imports
    head = ["threads", "way", "seconds an exam", "× ours", *STAGES, "peak MB", "MB added", "× ours"]
    equal = "; ".join(f"{way}: {a:.1e} in the phases, {b:.1e} in T2" for way, (a, b) in gaps.items())
    return [
        "## Preparing an exam",
        "",
        "Six `.nii.gz` files (five phases of 512×512×40, T2 on 384×384×30 of its own) to two float16",
        "`.npy` breasts of 6×256×256×32. The crop and the midline are found by ours, in its time, and given to",
        "the others for nothing; normalisation and writing are the same code. `Spacingd` and `ResampleToMatchd`",
        "run in float64, their default. Aligning phases, `prepare.yaml`'s default, is work that the others do",
        "not do, so that it is a row of its own. `prepare.yaml` runs one process a core with one thread each; two",
        "threads are for comparison. \"MB added\" is above what the process held before:",
        f"{imports:,.0f} MB after all imports, then a small exam to warm up.",
        "",
        *measure.table(head, rows),
        measure.told(runs),
        "",
        "Ours averages along the slices, 40 of which become 32; the others interpolate. Where all axes grow (to 48),"
        "the largest difference to ours before rounding to 16 bits is, in normalised units (1 is the mean of tissue);",
        f"T2 where its own voxels and the phases' surround ours: {equal}.",
        "",
    ]
