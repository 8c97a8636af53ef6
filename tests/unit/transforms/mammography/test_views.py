"""Views of an exam: read, cut, prepared, and read again without loss."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.datalist import SPLITS
from pipeline.errors import InputError
from pipeline.mammography.boxes import boxes_beside, read_boxes
from pipeline.mammography.views import VIEWS, Views, images, views
from pipeline.prepare import run as prepare
from transforms import LoadMammogramd, LoadRegiond, LoadViews, StackViews


def save_png(path, wall: str = "left", rows: int = 120, columns: int = 80):
    """Half an ellipse of values 1000 to 3000 on 0."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 2 - 10)) ** 2 + (x / (columns / 2)) ** 2 < 1
    pixels = np.where(inside, 1000 + 25 * x, 0).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if wall == "left" else pixels[:, ::-1].copy()).save(path)
    return pixels


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


def test_prepared_images_have_the_labels_of_the_paper(exams, tmp_path, capsys) -> None:
    boxes = read_boxes(boxes_beside(exams))
    folder = tmp_path / "prepared"
    prepare.run(exams, folder, Views(boxes), LoadViews(), 1)
    assert "1 exams lack a view, 1 have more than four images" in capsys.readouterr().out

    def labels(**options):
        return {(c["exam_id"], c["image_id"]): c["label"] for c in images(folder, 0, *SPLITS, **options)}

    wanted = {("E0", "L-CC"): 1, ("E0", "L-MLO"): 1} | {("E1", n): 0 for n in ("L-CC", "L-MLO", "R-CC", "R-MLO")}
    assert labels() == wanted
    assert "left out: 1 exams with more than 4 images" in capsys.readouterr().out
    assert labels(other_breast="negative") == {**wanted, ("E0", "R-CC"): 0}
    with pytest.raises(InputError, match="other_breast is 'positive'"):
        labels(other_breast="positive")
    known = {(c["exam_id"], c["image_id"]): c for c in views(folder, 0, *SPLITS)}
    assert {key[0]: case["label"] for key, case in known.items()} == {"E0": 1, "E1": 0}
    assert known["E0", "L-CC"]["boxes"] == [[40, 10, 50, 20, 1]]
    assert known["E0", "R-CC"]["boxes"] == [[40, 10, 50, 20, 0]]  # mirrored: columns 80 - 70 to 80 - 60


def test_what_was_cut_is_read_back_whole(exams, tmp_path) -> None:
    folder = tmp_path / "prepared"
    prepare.run(exams, folder, VIEWS, LoadViews(), 1)
    case = next(c for c in views(folder, 0, *SPLITS) if c["image_id"] == "R-CC")
    whole = np.asarray(Image.open(tmp_path / "E0" / "R-CC.png"))[:, ::-1].astype(np.float32)
    assert np.load(case["image"]).shape[2:] < whole.shape
    np.testing.assert_array_equal(LoadMammogramd("image")(case)["image"][0], whole)
    region = LoadRegiond("image", 20, margin=4)({**case, "center": [50.0, 12.0]})["image"]
    assert region.shape == (1, 28, 28)
    torch.testing.assert_close(region[0, :, 2:], torch.from_numpy(whole[36:64, :26].copy()))
    assert not region[0, :, :2].any()  # columns -2 and -1 are beyond the picture
