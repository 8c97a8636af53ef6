"""Views as cases of a fold, with the labels of the paper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from view_files import save_png

from pipeline.datalist import SPLITS
from pipeline.errors import InputError
from pipeline.mammography.boxes import boxes_beside, read_boxes
from pipeline.mammography.views import VIEWS, Views, images, views
from pipeline.prepare import run as prepare
from transforms import LoadMammogramd, LoadRegiond, LoadViews


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


@pytest.fixture
def screened(tiny_views, tmp_path, reseal):
    """Prepared screening exams of this test's own, without arrays, and what changes them."""
    content = json.loads((tiny_views / "prepared.json").read_text())

    def write(which: str | None = None, **values: Any) -> Path:
        for image in content["images"]:
            if which in (None, image["exam_id"]):
                image.update(values)
        return reseal(tmp_path, content)

    return write, [image["exam_id"] for image in content["images"] if image["splits"][0] == "train"]


def test_exams_of_unknown_status_are_left_out_and_counted(screened, capsys) -> None:
    write, (name, *_) = screened
    before = {case["exam_id"] for case in views(write(), 0, "train")}
    after = {case["exam_id"] for case in views(write(name, detection=None, malignant=None), 0, "train")}
    assert before - after == {name} and "left out: 1 exams without a known label" in capsys.readouterr().out


def test_detections_and_classes_that_cannot_be_trained_on(screened) -> None:
    write, (name, *_) = screened
    with pytest.raises(InputError, match=f"exam {name}: detection is 'Screen'; write one of negative, screen"):
        views(write(name, detection="Screen"), 0, "train")
    folder = write(detection="negative", malignant=0)
    with pytest.raises(InputError, match="fold 0 has no image with screen-detected cancer in validation"):
        images(folder, 0, "validation")


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
