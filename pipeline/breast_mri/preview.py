"""One picture of an answered exam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from pipeline.files.atomic import replacing
from transforms.grid import Grid


def save_preview(breasts: torch.Tensor, heat: torch.Tensor, result: Mapping[str, Any], path: Path,
                 places: Sequence[Grid], exam: Grid, shown: int = 0) -> None:
    """Draw each breast twice in the slice of its hottest voxel: as it is, and with the heat map over it.

    The title counts slices as the exam's own file does, so that a viewer shows the same. A map without any heat has
    no hottest voxel: the breast's middle slice is shown, and the title says so.

    Args:
        breasts: `(S, C, X, Y, Z)`.
        heat: `(S, X, Y, Z)`, 0–1.
        result: with `probabilities` by side.
        path: the PNG.
        places: the grid of each breast.
        exam: the exam's own grid.
        shown: the channel to show.
    """
    sides = list(result["probabilities"])
    figure = Figure(figsize=(2.6 * 2 * len(sides), 3.1), facecolor="black", layout="constrained")
    axes = figure.subplots(1, 2 * len(sides), squeeze=False)[0]
    order = sorted(range(len(sides)), key=lambda s: sides[s] != "R")  # as radiologists look: right breast on the left
    for column, s in enumerate(order):
        voxels = breasts[s, min(shown, breasts.shape[1] - 1)].float().cpu().numpy()
        z, told = chosen_slice(heat[s], places[s], exam)
        top = max(float(np.percentile(voxels, 99.8)), 1e-6)
        mirror = -1 if sides[s] == "R" else 1  # x runs from the midline outwards; the midline belongs in the middle
        plane = np.clip(voxels[:, :, z] / top, 0, 1).T[::-1, ::mirror]
        warm = heat[s, :, :, z].float().cpu().numpy().T[::-1, ::mirror]
        for k, axis in enumerate(axes[2 * column : 2 * column + 2]):
            axis.imshow(plane, cmap="gray", vmin=0, vmax=1)
            if k:
                axis.imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.6 * np.clip(warm * 2, 0, 1))
            axis.set_axis_off()
        axes[2 * column].set_title(f"{sides[s]}: p(malignant) = {result['probabilities'][sides[s]]:.2f}",
                                   color="white", fontsize=10)
        axes[2 * column + 1].set_title(told, color="white", fontsize=10)
    with replacing(path, ".png") as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def chosen_slice(heat: torch.Tensor, place: Grid, exam: Grid) -> tuple[int, str]:
    """The slice of a breast to show, and a title that counts it as the exam's file does, from 0.

    Args:
        heat: `(X, Y, Z)`.
        place: the breast's grid.
        exam: the exam's own grid.
    """
    hot = bool((heat > 0).any())
    at = np.unravel_index(int(heat.argmax()), heat.shape) if hot else tuple(n // 2 for n in heat.shape)
    where = f"slice {place.slice_in(exam, [float(i) for i in at])} of 0–{place.slices_of(exam) - 1}"
    return int(at[2]), f"heat map, {where}" if hot else f"no heat at all; {where}"
