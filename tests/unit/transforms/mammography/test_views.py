"""Views of an exam: read, cut, prepared, and read again without loss."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from view_files import save_png

from pipeline.errors import InputError
from transforms import LoadViews, StackViews


def test_views_keep_names_and_pixels(tmp_path) -> None:
    paths = {name: tmp_path / f"{name}.png" for name in ("L-CC", "L-CC-2", "R-MLO")}
    pixels = [save_png(path, "right" if name[0] == "R" else "left") for name, path in paths.items()]
    found = LoadViews()({"image": paths})
    assert list(found["views"]) == list(paths)
    for view, wanted in zip(found["views"].values(), pixels, strict=True):
        np.testing.assert_array_equal(view["pixels"], wanted)  # the right breast is mirrored
    assert found["views"]["R-MLO"]["flipped"] and not found["views"]["L-CC"]["flipped"]
    stacked = StackViews(40, 40)(found)
    assert stacked["image"].shape == (3, 1, 40, 40) and stacked["corners"] == [(10, 0)] * 3  # 60 rows, of which 40
    assert stacked["image"].mean(dim=(1, 2, 3)).abs().max() < 1e-5


def test_a_picture_without_breast_is_named(tmp_path) -> None:
    pixels = np.zeros((100, 80), np.uint16)
    pixels[5, 5] = 900
    Image.fromarray(pixels).save(tmp_path / "L-CC.png")
    with pytest.raises(InputError, match=r"L-CC\.png: no breast is seen"):
        LoadViews(check_side=False)({"image": {"L-CC": tmp_path / "L-CC.png"}})
