"""Mammograms of a few views, as files and a datalist."""

from __future__ import annotations

import numpy as np
from PIL import Image


def save_png(path, wall: str = "left", rows: int = 120, columns: int = 80):
    """Half an ellipse of values 1000 to 3000 on 0."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 2 - 10)) ** 2 + (x / (columns / 2)) ** 2 < 1
    pixels = np.where(inside, 1000 + 25 * x, 0).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if wall == "left" else pixels[:, ::-1].copy()).save(path)
    return pixels
