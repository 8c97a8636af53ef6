"""N4 bias-field correction: ours, SimpleITK, ANTs, on images with a known field."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from transforms.n4 import N4BiasFieldCorrection

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "n4.png"
CASES = {  # matrix, shrink factor, convergence threshold
    "128×128×16, shrink (2,2,1)": ((128, 128, 16), (2, 2, 1), 1e-3),
    "256×256×32, shrink (4,4,1)": ((256, 256, 32), (4, 4, 1), 1e-3),
    "512×512×32, shrink (4,4,1), converging": ((512, 512, 32), (4, 4, 1), 1e-3),
    "512×512×32, shrink (4,4,1), all 4×50 iterations": ((512, 512, 32), (4, 4, 1), 0.0),
}
ITERATIONS = [50] * 4
WAYS = ("ours", "SimpleITK", "ANTs")


def phantom(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, mask and log field, `(X, Y, Z)`: three tissues in an ellipsoid, noise, and a field as of coils."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in shape), indexing="ij")
    mask = x**2 + y**2 + 0.5 * z**2 < 0.9
    texture = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), [n / 40 for n in shape])
    texture /= texture.std()
    tissue = np.select([texture > 0.7, texture < -0.7], [np.float32(0.45), np.float32(0.7)], np.float32(1))
    coils = sum(0.35 * np.exp(-((x - side) ** 2 + (y - 0.6) ** 2)) for side in (-0.5, 0.5))
    field = coils - 0.15 * z
    image = 400 * tissue * np.exp(field) * (1 + 0.03 * rng.standard_normal(shape, np.float32))
    return np.where(mask, image, 2).astype(np.float32), mask, field - field[mask].mean()


def correct(way: str, case: str) -> Callable[[], Any]:
    """One correction with a way, ready to be timed; returns the log field at full size."""
    shape, shrink, threshold = CASES[case]
    image, mask, _ = phantom(shape)
    if way == "ours":
        ours = N4BiasFieldCorrection(shrink, ITERATIONS, threshold, return_log_field=True)
        planes = torch.from_numpy(np.ascontiguousarray(image.T)).permute(2, 1, 0)[None]  # z first, as prepared arrays
        inside = torch.from_numpy(mask)
        return lambda: ours(planes, inside)[1][0].numpy()
    if way == "SimpleITK":
        return partial(_simple_itk, image, mask, shrink, threshold)
    return partial(_ants, image, mask, shrink, threshold)


def _simple_itk(image: np.ndarray, mask: np.ndarray, shrink: tuple[int, ...], threshold: float) -> np.ndarray:
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(torch.get_num_threads())
    whole = sitk.GetImageFromArray(image.T)
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    filter_.SetMaximumNumberOfIterations(ITERATIONS)
    filter_.SetConvergenceThreshold(threshold)
    filter_.Execute(sitk.Shrink(whole, shrink), sitk.Shrink(sitk.GetImageFromArray(mask.T.astype(np.uint8)), shrink))
    field = filter_.GetLogBiasFieldAsImage(whole)
    _ = sitk.Exp(field) * 1.0  # the others correct the image as well
    return sitk.GetArrayFromImage(field).T


def _ants(image: np.ndarray, mask: np.ndarray, shrink: tuple[int, ...], threshold: float) -> np.ndarray:
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(torch.get_num_threads())  # read when ants is imported
    import ants

    field = ants.n4_bias_field_correction(
        ants.from_numpy(image), mask=ants.from_numpy(mask.astype(np.float32)), shrink_factor=max(shrink),
        convergence={"iters": ITERATIONS, "tol": threshold}, return_bias_field=True)
    return np.log(field.numpy())


def _quality(way: str, case: str) -> np.ndarray:
    """Log field in the mask, mean 0, which N4 leaves open; float32."""
    mask = phantom(CASES[case][0])[1]
    field = np.asarray(correct(way, case)())[mask]
    return (field - field.mean()).astype(np.float32)


def _timed(way: str, case: str) -> Callable[[], None]:
    work = correct(way, case)
    return lambda: _forget(work())


def _forget(value: Any) -> None:
    del value


def report(repeats: int) -> list[str]:
    """Measure the correction; draws the picture and returns Markdown."""
    ways = [way for way in WAYS if way != "ANTs" or importlib.util.find_spec("ants")]
    rows = []
    everything = {}
    for case, (shape, _, _) in CASES.items():
        runs = measure.take_turns({way: measure.Work(partial(_timed, way, case)) for way in ways}, repeats)
        everything |= {(f"{case} {way}", n): run for (way, n), run in runs.items()}
        mask, truth = phantom(shape)[1:]
        fields = {way: measure.in_child(_quality, way, case) for way in ways}
        for n in measure.THREADS:
            for way in ways:
                r, found = runs[way, n], fields[way]
                theirs = found - fields["SimpleITK"]
                rows.append([case if way == "ours" else "", str(n), way, r.time(), r.times(runs["ours", n]),
                             f"{r.added:,.0f}", f"{np.sqrt(((found - truth[mask]) ** 2).mean()):.4f}",
                             f"{np.corrcoef(found, truth[mask])[0, 1]:.4f}",
                             "" if way == "SimpleITK" else f"{np.sqrt((theirs**2).mean()):.4f}"])
    _draw()
    head = ["image", "threads", "way", "seconds", "× ours", "MB added", "rms to truth", "r to truth",
            "rms to SimpleITK"]
    missing = [] if "ANTs" in ways else ["ANTs (antspyx) was not installed and is not in the table.", ""]
    return [
        "## Bias-field correction (N4)",
        "",
        "Three tissues with 3 % noise in a field of two surface coils, mask given, 4 levels of at most 50 iterations,",
        "4 control points an axis at the first; the field is wanted at full size. ANTs shrinks all axes alike. Log",
        "fields are compared in the mask after their means are taken off, which the method leaves open.",
        "",
        *measure.table(head, rows),
        measure.told(everything),
        "",
        *missing,
        "![image, true field, ours, SimpleITK's](../docs/images/n4.png)",
        "",
    ]


def _draw() -> None:
    """Image, true field, ours and SimpleITK's in a middle slice."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    case = next(iter(CASES))
    image, mask, truth = phantom(CASES[case][0])
    z = image.shape[2] // 2
    panels = {"image": image, "true field": truth}
    panels |= {f"{way}": np.asarray(correct(way, case)()) for way in ("ours", "SimpleITK")}
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        plane = values[:, :, z].T[::-1]
        if title == "image":
            axis.imshow(plane, cmap="gray")
        else:
            inside = mask[:, :, z].T[::-1]
            plane = np.where(inside, plane - values[mask].mean(), np.nan)
            shown = axis.imshow(plane, vmin=-0.4, vmax=0.4, cmap="coolwarm")
        axis.set_title(title if title in ("image", "true field") else f"log field, {title}")
        axis.axis("off")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="log field")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=80)
