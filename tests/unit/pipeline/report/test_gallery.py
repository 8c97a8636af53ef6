"""Pictures of maps: what is drawn over what, and which are chosen."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from written_study import write_map

from pipeline.errors import InputError
from pipeline.report.gallery import KINDS, colour_bar, gallery, read_picture


def pixels(uri: str) -> np.ndarray:
    head, content = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")) / 255


def test_heat_covers_the_image_as_far_as_it_is_hot(tmp_path) -> None:
    path = tmp_path / "maps" / "a.npz"
    heat = np.zeros((6, 8), np.float32)
    heat[1, 2] = 1.0
    write_map(path, heat=heat, box=np.array([1, 2, 4, 6]), aspect=0.5)
    picture = read_picture(path, 0.5)
    assert np.abs(pixels(picture.image) - 0.5).max() < 0.01
    over = pixels(picture.overlay)
    assert np.abs(over[0, 0] - 0.5).max() < 0.01  # cold: the image
    assert over[1, 2] == pytest.approx(0.2 * 0.5 + 0.8 * np.array(colormaps["inferno"](1.0)[:3]), abs=0.01)
    assert (picture.columns, picture.rows) == (8, 3.0)  # rows are half as high as columns are wide
    assert picture.points == [(2.5, 1.75, True)] and picture.box == (2.0, 0.5, 4.0, 1.5)
    assert picture.caption == "E L: malignant, score 0.70"


@pytest.mark.parametrize(("label", "score", "kind"), [(1, 0.7, 0), (1, 0.3, 1), (0, 0.7, 2), (0, 0.3, 3)])
def test_right_and_wrong_by_the_threshold(tmp_path, label, score, kind) -> None:
    write_map(tmp_path / "maps" / "a.npz", label=label, score=score)
    assert read_picture(tmp_path / "maps" / "a.npz", 0.5).kind == KINDS[kind]
    write_map(tmp_path / "maps" / "a.npz", label=label, score=score, threshold=0.9)  # a threshold of its own
    assert read_picture(tmp_path / "maps" / "a.npz", 0.5).kind == KINDS[1 if label else 3]


def test_twelve_evenly_over_the_kinds(tmp_path) -> None:
    for i in range(20):
        write_map(tmp_path / "maps" / f"{i:02d}.npz", label=1, score=0.9)
    for i in range(3):
        write_map(tmp_path / "maps" / f"x{i}.npz", label=0, score=0.9)
    run: Any = SimpleNamespace(variants=["main"], folds=[0], tested=[0], study={}, place=lambda variant, fold: tmp_path)
    chosen, pictures = gallery(run, {"folds": [0], "variants": {"main": {"threshold": [0.5]}}})
    assert chosen == "main" and [p.kind for p in pictures] == [KINDS[0]] * 9 + [KINDS[2]] * 3


def test_a_damaged_map_is_one_line(tmp_path) -> None:
    write_map(tmp_path / "maps" / "a.npz", heat=np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"a\.npz: not a map that can be shown"):
        read_picture(tmp_path / "maps" / "a.npz", 0.5)


def test_the_bar_runs_from_cold_to_hot() -> None:
    row = pixels(colour_bar())[0]
    assert len(row) == 128 and row[0].sum() < 0.1 and row[-1].sum() > 2


def test_a_map_of_another_variant_s_score_is_held_against_that_variant_s_threshold(tmp_path) -> None:
    write_map(tmp_path / "maps" / "a.npz", label=0, score=0.4, variant="holistic")
    run: Any = SimpleNamespace(variants=["ensemble", "holistic"], folds=[0], tested=[0], study={},
                               place=lambda variant, fold: tmp_path)
    metrics = {"folds": [0], "variants": {"ensemble": {"threshold": [0.7]}, "holistic": {"threshold": [0.3]}}}
    assert [picture.kind for picture in gallery(run, metrics)[1]] == [KINDS[2]]
    metrics["variants"]["holistic"]["threshold"] = [None]  # validation lacked a class
    assert [picture.kind for picture in gallery(run, metrics)[1]] == [KINDS[3]]
