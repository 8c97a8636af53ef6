"""A real screening exam through the reading, the comparator's crop and the holistic model (see real_inputs.md).

    python docs/how_to/real_mammograms.py DATA --out docs/images

DATA holds `mammography_exam/`. The network has random weights: where it looks says nothing about the exam.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from pipeline.explain.saliency import most_salient, saliency
from pipeline.mammography.answer_exams import find
from pipeline.mammography.regions import native_centers
from pipeline.networks.mammogram_resnet import mammogram_resnet
from transforms.mammography.geometry import Box, CropRules, cut, find_breast
from transforms.mammography.reading import Mammogram, read_mammogram
from transforms.mammography.scale import region_around
from transforms.mammography.views import LoadViews, StackViews
from transforms.mammography.windows import best_window

OUTLINED = CropRules(windows={"CC": (2944, 1920), "MLO": (2944, 1920)})  # the frame that the outlines are stored in
WIDTH = REGION = 976


def windows(picture: Mammogram, rules: CropRules) -> tuple[Box, Box]:
    """The comparator's crop and the window in it, in pixels of the picture."""
    breast = find_breast(picture.pixels, rules)
    top, _, left, _ = breast.box
    window = best_window(cut(picture.pixels, breast.box), picture.view, breast, rules)
    return breast.box, Box(window.top + top, window.bottom + top, window.left + left, window.right + left)


def settle(network: torch.nn.Module, images: torch.Tensor) -> None:
    """Statistics of batch norm from the exam itself, so that random weights give scores of ordinary size."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(images)


def box(axes: Axes, place: Box, color: str) -> None:
    axes.add_patch(Rectangle((place.left, place.top), place.right - place.left, place.bottom - place.top, fill=False,
                             edgecolor=color, linewidth=1))


def main() -> None:
    parser = argparse.ArgumentParser(description="A real screening exam through reading, crop and saliency.")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    folder = args.data / "mammography_exam"
    files = {name: path for name, path in find(folder)[0]["image"].items() if name[0] in "LR"}
    exam = StackViews(WIDTH, WIDTH)(LoadViews()({"exam_id": folder.name, "image": files}))
    torch.manual_seed(0)
    network = mammogram_resnet()
    settle(network, exam["image"])
    scores, maps = saliency(network, exam["image"])
    shapes = [view["pixels"].shape for view in exam["views"].values()]
    centers = native_centers(maps, exam["corners"], shapes, WIDTH)
    figure = Figure(figsize=(8, 7.8), layout="constrained")
    axes = figure.subplots(2, len(files), height_ratios=[1, 1.6])
    for i, (name, path) in enumerate(files.items()):
        picture = read_mammogram(path, name)
        crop, window = windows(picture, CropRules())
        row, column = centers[i]
        print(f"{name}: {picture.pixels.shape}, flipped {picture.flipped}, crop {tuple(crop)}, window {tuple(window)}, "
              f"score {scores[i]:.2f}, centre of attention {row:.0f}, {column:.0f}")
        for axis in axes[:, i]:
            axis.imshow(picture.pixels[::4, ::4], cmap="gray", vmax=np.percentile(picture.pixels, 99.8),
                        extent=(0, shapes[i][1], shapes[i][0], 0))
            axis.set_axis_off()
        axes[0, i].set_title(f"{name}{', flipped' if picture.flipped else ''}", fontsize=8)
        axes[0, i].set_xlim(-20, 1980)
        axes[0, i].set_ylim(max(window.bottom, shapes[i][0]), min(window.top, 0))
        box(axes[0, i], crop, "#4aa3ff")
        box(axes[0, i], window, "#ffd24d")
        outline = Path(path).with_name(f"{Path(path).stem}_benign.png")
        if outline.is_file():
            _, frame = windows(picture, OUTLINED)
            mask = np.asarray(Image.open(outline)) > 0
            axes[0, i].contour(np.arange(mask.shape[1]) + frame.left, np.arange(mask.shape[0]) + frame.top, mask, [0.5],
                               colors="red", linewidths=0.9)
        scale = shapes[i][1] / WIDTH
        rows, columns = np.nonzero(most_salient(maps)[i].numpy())
        axes[1, i].scatter((columns + exam["corners"][i][1]) * scale, (rows + exam["corners"][i][0]) * scale, s=0.3,
                           color="#21d07a", linewidths=0)
        axes[1, i].plot(column, row, "o", color="red", markersize=3)
        box(axes[1, i], region_around(shapes[i], (row, column), REGION), "#ffd24d")
        axes[1, i].set_xlim(-100, 1100)
    args.out.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out / "real_mammograms.png", dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
