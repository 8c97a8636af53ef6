"""Views of an exam: read, cut, prepared, and read again without loss."""

from __future__ import annotations

import shutil

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


def test_a_host_sends_one_file_a_folder_or_a_list(tmp_path) -> None:
    exam = tmp_path / "p1.exam"
    for name, edge in (("L-CC", "left"), ("R-MLO", "right")):
        save_png(exam / f"{name}.png", edge, columns=80 + 10 * (name[0] == "R"))
    shutil.copy(exam / "R-MLO.png", tmp_path / "p1.png")  # what a viewer shows of the exam
    for image in (exam, str(exam), [exam / "R-MLO.png", exam / "L-CC.png"]):
        assert set(LoadViews()({"image": image})["views"]) == {"L-CC", "R-MLO"}
    whole = StackViews(40, 40)(LoadViews()({"image": str(tmp_path / "p1.png")}))
    assert set(whole["views"]) == {"L-CC", "R-MLO"} and whole["shown"] == "R-MLO"
    assert whole["image"].meta["spatial_shape"].tolist() == [90, 120, 1]
    save_png(tmp_path / "p1.png", rows=100)
    with pytest.raises(InputError, match=r"p1\.png: is none of the exam's files beside it"):
        LoadViews()({"image": str(tmp_path / "p1.png")})
    save_png(tmp_path / "picture.png")
    assert list(LoadViews()({"image": str(tmp_path / "picture.png"), "view": "L-MLO"})["views"]) == ["L-MLO"]
    with pytest.raises(InputError, match="view"):
        LoadViews()({"image": str(tmp_path / "picture.png")})
