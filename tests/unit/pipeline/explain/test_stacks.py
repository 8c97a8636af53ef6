"""Slices of a scored case: what is kept, where points lie, which slice is shown first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.explain.stacks import MOST_SLICES, load_stack, save_stack

NAMES = {"exam_id": "E1", "side": "L", "lesion_id": ""}


def test_small_ones_are_kept_as_they_are(tmp_path: Path) -> None:
    image = np.linspace(-0.5, 1.5, 5 * 4 * 6).reshape(5, 4, 6)
    heat = np.zeros((5, 4, 6))
    heat[3, 2, 1] = 0.4
    save_stack(tmp_path, NAMES, image, heat, [(2.0, 1.0, 4)], [0], [10, 12, 14, 16, 18], 40, 1.5)
    found = load_stack(tmp_path / "stacks" / "E1_L.npz")
    assert found.names == NAMES and (found.total, found.aspect) == (40, 1.5)
    np.testing.assert_allclose(found.image, image.clip(0, 1) * 255, atol=0.51)
    assert found.heat is not None and found.heat[3, 2, 1] == 102 and found.heat.sum() == 102
    assert found.points.tolist() == [[2.0, 1.0, 4.0]] and found.numbers.tolist() == [10, 12, 14, 16, 18]
    assert found.shown() == 4  # of the marked centre, though another slice is hot


def test_large_ones_are_thinned_and_their_points_follow(tmp_path: Path) -> None:
    image = np.zeros((200, 600, 300), np.float32)
    image[99, 301, 150] = 1.0
    save_stack(tmp_path, NAMES, image, None, [(150.0, 301.0, 99)], [1])
    found = load_stack(tmp_path / "stacks" / "E1_L.npz")
    assert found.heat is None and found.image.shape == (MOST_SLICES, 200, 100) and found.total == 0
    x, y, z = found.points[0]
    # Three pixels are one: pixel 150 is the first of block 50, pixel 301 the middle one of block 100.
    assert (round(float(x), 3), round(float(y), 3)) == (49.667, 100.0)
    assert abs(int(found.numbers[int(z)]) - 99) <= 2
    assert found.numbers[0] == 0 and found.numbers[-1] == 199


def test_without_points_the_hottest_slice_is_shown_first_and_without_heat_the_middle_one(tmp_path: Path) -> None:
    heat = np.zeros((7, 4, 4))
    heat[5, 0, 0] = 0.2
    for name, given, first in (("hot", heat, 5), ("cold", 0 * heat, 3), ("none", None, 3)):
        save_stack(tmp_path, {"exam_id": name}, np.zeros((7, 4, 4)), given)
        assert load_stack(tmp_path / "stacks" / f"{name}.npz").shown() == first


def test_boxes_follow_the_pixels_and_slices_that_are_kept(tmp_path: Path) -> None:
    boxes = np.array([[150.0, 300, 30, 60, 90, 110, 0, 0.9], [0, 0, 3, 3, 20, 40, 1, 0.25], [0, 0, 3, 3, 0, 2, 1, 0.2]])
    save_stack(tmp_path, NAMES, np.zeros((200, 600, 300), np.float32), None, boxes=boxes)
    found = load_stack(tmp_path / "stacks" / "E1_L.npz")
    assert found.boxes is not None and found.boxes[:, :4].tolist() == [[50, 100, 10, 20], [0, 0, 1, 1], [0, 0, 1, 1]]
    first, last = (found.numbers[found.boxes[:, k].astype(int)] for k in (4, 5))
    assert np.abs(first - boxes[:, 4]).max() <= 2 and np.abs(last - boxes[:, 5]).max() <= 2  # every fourth is kept
    assert abs(int(found.numbers[found.shown()]) - 30) <= 4  # the surest malignant box's, though a benign one is surer
    save_stack(tmp_path, NAMES, np.zeros((7, 4, 4)), None, boxes=np.zeros((0, 8)))
    none = load_stack(tmp_path / "stacks" / "E1_L.npz")
    assert none.boxes is not None and len(none.boxes) == 0 and none.shown() == 3


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=r"a\.npz: not slices of a scored case"):
        load_stack(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", image=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"b\.npz: not slices"):
        load_stack(tmp_path / "b.npz")
