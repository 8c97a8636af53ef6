"""Mammograms of a few views, as files and a datalist."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


def save_png(path, wall: str = "left", rows: int = 120, columns: int = 80):
    """Half an ellipse of values 1000 to 3000 on 0."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 2 - 10)) ** 2 + (x / (columns / 2)) ** 2 < 1
    pixels = np.where(inside, 1000 + 25 * x, 0).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if wall == "left" else pixels[:, ::-1].copy()).save(path)
    return pixels


@pytest.fixture
def exams(tmp_path):
    """Three exams: screen-detected with three views, negative with four, and one with five images."""
    listed = []
    for number, (names, detection) in enumerate([
        (("L-CC", "L-MLO", "R-CC"), "screen"), (("L-CC", "L-MLO", "R-CC", "R-MLO"), "interval"),
        (("L-CC", "L-MLO", "R-CC", "R-MLO", "R-CC-2"), "negative")]):
        for name in names:
            save_png(tmp_path / f"E{number}" / f"{name}.png", "right" if name[0] == "R" else "left", 100 + number)
        listed.append({
            "exam_id": f"E{number}", "patient_id": f"P{number}", "images": {n: f"E{number}/{n}.png" for n in names},
            "breasts": {"L": {"malignant": int(detection != "negative")}, "R": {"malignant": 0}},
            "groups": {"detection": detection}, "readers": {"a": {"L": 3, "R": 1}}, "fold": number,
            "validation_folds": [(number + 2) % 3]})
    content = {"schema": "breast-bundles/datalist/1", "name": "tiny", "modality": "MG", "root": ".",
               "folds": {"count": 3, "seed": 0}, "exams": listed}
    (tmp_path / "list.json").write_text(json.dumps(content))
    (tmp_path / "boxes.csv").write_text("exam_id,view,lesion_id,malignant,row_min,col_min,row_max,col_max\n"
                                        "E0,L-CC,1,1,40,10,50,20\nE0,R-CC,1,0,40,60,50,70\n")
    return tmp_path / "list.json"
