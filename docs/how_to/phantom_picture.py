"""The picture of a synthetic exam in docs/getting_started.md.

    python -m pipeline phantom breast_mri -o demo/cohort --exams 12
    python docs/how_to/phantom_picture.py demo/cohort E0002 docs/images/phantom.png
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.figure import Figure

from transforms import KineticChannels, LoadBreasts
from transforms.grid import Grid

CHANNELS = ("pre", "post1", "post2", "post3", "post4", "t2")


def main(cohort: Path, exam: str, picture: Path) -> None:
    folder = cohort / "exams" / exam
    with (cohort / "lesions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["exam_id"] == exam]
    lesion = next(row for row in rows if row["malignant"] == "1")
    center = np.array([float(lesion[f"{axis}_mm"]) for axis in "xyz"])
    figure = Figure(figsize=(9.6, 2.5), layout="constrained")
    axes = figure.subplots(1, 4)
    images = {name: nib.load(folder / f"{name}.nii.gz") for name in ("pre", "post1", "t2")}
    voxels = {name: image.get_fdata() for name, image in images.items()}
    for axis, title, of, volume in (
        (axes[0], "pre", "pre", voxels["pre"]),
        (axes[1], "wash-in: post1 − pre", "pre", voxels["post1"] - voxels["pre"]),
        (axes[2], "T2, on its own grid", "t2", voxels["t2"]),
    ):
        x, y, z = Grid(volume.shape, images[of].affine).to_index(center)
        axis.imshow(volume[:, :, round(z)].T, cmap="gray", vmin=0, vmax=np.percentile(volume, 99.8))
        axis.plot(x, y, "o", markerfacecolor="none", markeredgecolor="orange", markersize=9)
        axis.set_title(title, fontsize=8)
    breast = LoadBreasts(CHANNELS, matrix=(192, 192, 16), rows=64, sides=[lesion["side"]])(folder)
    shown = KineticChannels(CHANNELS)(breast.as_tensor()[0])[1]  # the wash-in
    x, y, z = Grid(tuple(shown.shape), breast.meta["breast_affines"][0]).to_index(center)
    axes[3].imshow(shown[:, :, round(z)].T.numpy(), cmap="gray", origin="lower", vmin=0)
    axes[3].plot(x, y, "o", markerfacecolor="none", markeredgecolor="orange", markersize=9)
    axes[3].set_title(f"prepared breast {lesion['side']}, wash-in channel", fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(picture, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
