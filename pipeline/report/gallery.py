"""Heat maps of test breasts, drawn over the images that they explain, with the marked lesion centres."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.image import imsave

from pipeline.errors import InputError
from pipeline.report.predictions import AGAIN, Run

MOST = 12
MAP = "inferno"  # perceptually uniform: its lightness grows with the heat, in print too
KINDS = ("positive, called positive", "positive, missed", "negative, called positive", "negative, called negative")


@dataclass
class Picture:
    """One tile: the image, the same with its heat map, and where lesions were marked."""

    caption: str
    kind: str
    image: str  # data URI
    overlay: str  # data URI
    columns: int
    rows: float  # in units of a pixel's width
    points: list[tuple[float, float, bool]]  # column, row (centre of a pixel is at + 0.5), malignant
    box: tuple[float, float, float, float] | None = None  # column, row, width, height of a region
    boxes: list[tuple[float, float, float, float, bool, float]] | None = None  # a detector's: as box, malignant, score

    @property
    def radius(self) -> float:
        """Radius of the ring around a lesion's centre, in pixels."""
        return 0.055 * max(self.rows, self.columns)


def gallery(run: Run, metrics: dict[str, Any]) -> tuple[str | None, list[Picture]]:
    """Up to twelve breasts of the first variant that has maps, evenly over right and wrong answers.

    They are the first of each kind in the order of their names, fold by fold: not chosen by how they look.

    Returns:
        The variant's name and its pictures; (None, []) where no map was written.

    Raises:
        InputError: a map that cannot be read.
    """
    for variant in run.variants:
        pictures = _pictures(run, metrics, variant)
        if pictures and pictures[0].boxes is None:
            return variant, pictures
    return None, []


def box_galleries(run: Run, metrics: dict[str, Any]) -> list[tuple[str, list[Picture]]]:
    """As `gallery`, of every variant whose pictures show boxes, six of each."""
    found = [(variant, _pictures(run, metrics, variant, 6)) for variant in run.variants]
    return [(variant, pictures) for variant, pictures in found if pictures and pictures[0].boxes is not None]


def _pictures(run: Run, metrics: dict[str, Any], variant: str, most: int = MOST) -> list[Picture]:
    kinds: dict[str, list[Picture]] = {kind: [] for kind in KINDS}
    chosen = {name: dict(zip(run.folds, entry["threshold"], strict=True))
              for name, entry in metrics["variants"].items()}
    for fold in run.tested:
        place = run.place(variant, fold)
        for path in sorted([*place.glob("maps/*.npz"), *place.glob("*/maps/*.npz")]):
            cuts = {name: 0.5 if (cut := of.get(fold)) is None else cut for name, of in chosen.items()}
            picture = read_picture(path, cuts[variant], run.study.get("positive", "malignant"), cuts)
            kinds[picture.kind].append(picture)
    return _mixed(list(kinds.values()), most)


def _mixed(kinds: list[list[Picture]], most: int) -> list[Picture]:
    """One of each kind in turn until there are enough, then sorted by kind."""
    depth = max(map(len, kinds))
    turns = [pictures[i] for i in range(depth) for pictures in kinds if i < len(pictures)][:most]
    return sorted(turns, key=lambda picture: KINDS.index(picture.kind))


def read_picture(path: Path, threshold: float, positive: str = "malignant",
                 thresholds: Mapping[str, float] | None = None) -> Picture:
    """Read one map and draw it.

    Args:
        path: `.npz` with `image` and `heat` (rows, cols) in [0, 1], `points` (n, 2) as column, row,
            `point_malignant` (n,), `label`, `score`, `exam_id`, `side`, and perhaps `variant` (whose score it is),
            `threshold`, `aspect` (a pixel's height over its width), `box`, a region's first and last edges: row,
            column, row, column; and of a detector `boxes` (n, 4), likewise, `box_malignant` and `box_score` (n,).
        threshold: what the score is held against where the file has none of its own.
        positive: what label 1 means.
        thresholds: of the variants, for files that name one.

    Raises:
        InputError: the file is damaged, or lacks one of them.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        image = np.clip(np.nan_to_num(content["image"].astype(np.float32)), 0, 1)
        heat = np.clip(np.nan_to_num(content["heat"].astype(np.float32)), 0, 1)
        if image.ndim != 2 or image.shape != heat.shape:
            raise ValueError(f"image {image.shape} and heat {heat.shape} are not one plane")
        label, score = int(content["label"]), float(content["score"])
        threshold = (thresholds or {}).get(str(content.get("variant", "")), threshold)
        threshold = float(content.get("threshold", threshold))
        aspect = float(content.get("aspect", 1.0))
        points = [(float(column) + 0.5, float(row) + 0.5, bool(malignant)) for (column, row), malignant in
                  zip(content["points"].reshape(-1, 2), content["point_malignant"].ravel(), strict=True)]
        region = _rectangle(content["box"], aspect) if "box" in content else None
        boxes = [(*_rectangle(edges, aspect), bool(bad), float(each)) for edges, bad, each in
                 zip(content["boxes"].reshape(-1, 4), content["box_malignant"].ravel(),
                     content["box_score"].ravel(), strict=True)] if "boxes" in content else None
        name = f"{content['exam_id']!s} {content['side']!s}".strip()
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a map that can be shown ({error}); {AGAIN}") from None
    kind = KINDS[(0 if score >= threshold else 1) if label else (2 if score >= threshold else 3)]
    grey = np.repeat(image[:, :, None], 3, axis=2)  # (rows, cols, 3)
    strength = 0.8 * heat[:, :, None] ** 0.7  # weak heat lets the image through
    mixed = (1 - strength) * grey + strength * colormaps[MAP](heat)[:, :, :3]
    return Picture(f"{name}: {positive if label else f'not {positive}'}, score {score:.2f}", kind,
                   data_uri(grey), data_uri(mixed), image.shape[1], image.shape[0] * aspect,
                   [(x, y * aspect, m) for x, y, m in points],
                   region, boxes)


def _rectangle(edges: Any, aspect: float) -> tuple[float, float, float, float]:
    """Column, row, width and height of edges given as row, column, row, column."""
    top, left, bottom, right = map(float, edges)
    return left, top * aspect, right - left, (bottom - top) * aspect


def colour_bar() -> str:
    """The heat's colours from 0 to 1, as a data URI."""
    return data_uri(np.tile(colormaps[MAP](np.linspace(0, 1, 128))[None, :, :3], (6, 1, 1)))


def data_uri(pixels: np.ndarray) -> str:
    """An image (rows, cols, 3) in [0, 1] as a PNG in the page itself."""
    buffer = io.BytesIO()
    imsave(buffer, np.clip(pixels, 0, 1), format="png", metadata={"Software": ""})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
