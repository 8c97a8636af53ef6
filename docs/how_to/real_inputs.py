"""Two real breast MRI samples through the preparation and the network, with pictures (see real_inputs.md).

    python docs/how_to/real_inputs.py DATA --out docs/images

DATA holds `breast_mri_subvolume/` and `dce_slice_series/`. The network has random weights: what is checked is
that shapes fit and that all numbers are finite. Nothing is said about malignancy.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.io
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from monai.data import MetaTensor

from pipeline.networks.curriculum_resnet import CurriculumResNet
from transforms import KineticChannels, LoadBreasts
from transforms.grid import Grid
from transforms.load import read_image
from transforms.resample import resample

PHASES = ("pre", "post1", "post2", "post3", "post4")
BEFORE_S = 49.29  # the last time point before the signal rises
STEP_S = 70.0  # between phases, as in the paper


def check(breast: MetaTensor, channels: tuple[str, ...]) -> torch.Tensor:
    """Send one breast through a network with random weights; returns its channels `(1, C, X, Y, Z)`."""
    torch.manual_seed(0)
    image = KineticChannels(channels)(breast.as_tensor()[:1])
    with torch.no_grad():
        logits, maps = CurriculumResNet(len(channels)).eval().activation_map(image)
    print(f"  channels {', '.join(channels)}: image {tuple(image.shape)}, logits {tuple(logits.shape)}, "
          f"map {tuple(maps.shape)}")
    if not all(bool(torch.isfinite(x).all()) for x in (image, logits, maps)):
        raise SystemExit("not finite")
    return image


def show(axes: Axes, plane: np.ndarray, title: str, low: float = 0.0, high: float | None = None) -> None:
    """One plane `(columns, rows)`, first row at the bottom."""
    axes.imshow(plane.T, cmap="gray", origin="lower", vmin=low, vmax=high)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


def subvolume(folder: Path, out: Path) -> None:
    """A part of one breast, one contrast: NRRD in, LPS header, single field of view."""
    path = folder / "breast1_image.nrrd"
    load = LoadBreasts(["pre"], matrix=(96, 128, 24), rows=128, field_of_view="single", sides=["R"])
    breast = load([path])
    size, scale = tuple(breast.meta["spatial_shape"].tolist()), breast.meta["scales"]["pre"]
    print(f"{path.name}: {size} voxels, tissue scale {scale:.1f}")
    check(breast, ("pre",))
    image, label = read_image(path), read_image(folder / "breast1_label.nrrd")
    grid = Grid(tuple(breast.shape[2:]), breast.meta["breast_affines"][0])
    lesion = (label.array > 0).astype(np.float32)
    outline = resample(lesion, Grid(lesion.shape, label.affine), grid).permute(2, 1, 0)
    k = int(lesion.sum(axis=(0, 1)).argmax())
    z = int(outline.sum(dim=(0, 1)).argmax())
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    show(left, image.array[:, :, k], f"as stored, slice {k}", high=np.percentile(image.array, 99.8))
    left.contour(lesion[:, :, k].T, [0.5], colors="orange", linewidths=0.9)
    voxels = breast[0, 0].numpy()
    show(right, voxels[:, :, z], f"prepared, slice {z}", high=float(np.percentile(voxels, 99.8)))
    right.contour(outline[:, :, z].numpy().T, [0.5], colors="orange", linewidths=0.9)
    figure.savefig(out / "real_subvolume.png", dpi=100, metadata={"Software": None})


def slice_series(folder: Path, out: Path) -> None:
    """One slice over time: five time points become phases, each a NIfTI file of one slice."""
    content = scipy.io.loadmat(folder / "invivo.mat")
    series, seconds = content["DCEdata"], content["t"].ravel()  # (T, rows, columns)
    chosen = [int(np.abs(seconds - BEFORE_S - STEP_S * i).argmin()) for i in range(len(PHASES))]
    affine = np.diag([1.0, 1.0, 4.0, 1.0])  # the file states no voxel size: these are made up
    with tempfile.TemporaryDirectory() as exam:
        for phase, index in zip(PHASES, chosen, strict=True):
            plane = series[index].T[:, ::-1, None].astype(np.float32)  # (columns, rows from below, 1)
            nib.save(nib.Nifti1Image(plane, affine), Path(exam) / f"{phase}.nii.gz")
        load = LoadBreasts(PHASES, matrix=(384, 192, 4), rows=192, field_of_view="single", sides=["R"])
        breast = load(exam)
    print(f"invivo.mat: {series.shape[1:]} pixels at {len(seconds)} times; taken: "
          + ", ".join(f"{phase} {seconds[i]:.0f} s" for phase, i in zip(PHASES, chosen, strict=True)))
    print(f"  shifts in voxels: {', '.join(f'{k} {v[0]}' for k, v in breast.meta['shifts'].items())}")
    image = check(breast, PHASES)[0, :, :, :, 0].numpy()
    figure = Figure(figsize=(9.6, 2.8), layout="constrained")
    axes = figure.subplots(1, 4)
    show(axes[0], breast[0, 0, :, :, 0].numpy(), "pre, in units of tissue", high=3)
    show(axes[1], image[1], "wash-in: 4 (post1 − pre)", high=6)
    show(axes[2], image[4], "delayed: 8 (post4 − post1)", low=-6, high=6)
    # Around the tumour: the pixels that enhance most, found at times other than those drawn as phases.
    area = series[:, 75:135, 60:130]
    before = seconds <= BEFORE_S
    gain = area[8:11].mean(axis=0) - area[before].mean(axis=0)
    curve = area[:, gain > np.percentile(gain, 95)].mean(axis=1)
    curve = curve / curve[before].mean()
    axes[3].plot(seconds, curve, color="0.4", linewidth=1)
    axes[3].plot(seconds[chosen], curve[chosen], "o", color="C1", markersize=4)
    axes[3].set_title("signal in the tumour / before", fontsize=8)
    axes[3].set_xlabel("s", fontsize=8)
    axes[3].tick_params(labelsize=7)
    figure.savefig(out / "real_slice_series.png", dpi=80, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description="Real samples through the preparation and the network.")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    subvolume(args.data / "breast_mri_subvolume", args.out)
    slice_series(args.data / "dce_slice_series", args.out)


if __name__ == "__main__":
    main()
