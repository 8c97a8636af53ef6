"""A map's peak against lesions, and its slices as they are shown, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.breast_mri.map_records import peak_of, plane_picture, pointing, save_slices
from pipeline.explain.stacks import load_stack
from transforms.grid import Grid

GRID = Grid((6, 5, 4), np.diag([2.0, 3.0, 4.0, 1.0]))


def test_the_nearest_of_several_lesions_counts_and_chance_is_over_the_body() -> None:
    heat, body = np.zeros((6, 5, 4)), np.zeros((6, 5, 4), bool)
    heat[4, 1, 2] = 0.5
    body[:, 1, 2] = True  # six voxels 2 mm apart; two of them within 2.5 mm of (5, 1, 2), three of (4, 1, 2)
    assert peak_of(heat).tolist() == [4, 1, 2]
    found = pointing(peak_of(heat), body, GRID, [(5, 1, 2), (0, 0, 0)], 2.5)
    assert found == {"hit": 1, "distance_mm": 2.0, "radius_mm": 2.5, "chance": pytest.approx(2 / 6, abs=1e-4)}
    far = pointing(peak_of(heat), body, GRID, [(4, 2, 3)], 4.9)
    assert (far["hit"], far["distance_mm"], far["chance"]) == (0, 5.0, 0.0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_anterior_is_up_and_the_patient_s_right_on_the_left_where_asked(mirrored) -> None:
    image, heat = np.full((6, 5, 4), -1.0), np.zeros((6, 5, 4))
    image[4, 1, 2] = 2.0
    heat[0, 4, 2] = 0.5
    shown = plane_picture(image, heat, [(4, 1, 2.4, 1), (1, 1, 0, 0)], 2, mirrored)
    assert shown["image"].shape == (5, 6) and shown["image"].min() == 0
    column = 1 if mirrored else 4
    assert shown["image"].argmax() == 3 * 6 + column and shown["points"].tolist() == [[column, 3]]
    assert shown["heat"][0, 5 if mirrored else 0] == 0.5 and shown["point_malignant"].tolist() == [1]


@pytest.mark.parametrize("mirrored", [False, True])
def test_all_slices_lie_as_the_one_that_the_report_shows(tmp_path, mirrored) -> None:
    random = np.random.default_rng(0)
    image, heat = random.random((6, 5, 4)), random.random((6, 5, 4))
    save_slices(tmp_path, {"exam_id": "E1", "side": "R", "label": 1}, image, heat, [(4, 1, 2, 1)], GRID, None, mirrored)
    found = load_stack(tmp_path / "stacks" / "E1_R.npz")
    one = plane_picture(image, heat, [(4, 1, 2, 1)], 2, mirrored)
    assert np.abs(found.image[2] / 255 - one["image"]).max() <= 0.5 / 255 + 1e-6
    assert np.abs(found.heat[2] / 255 - one["heat"]).max() <= 0.5 / 255 + 1e-6
    assert found.points[0].tolist() == [*one["points"][0], 2] and found.names == {"exam_id": "E1", "side": "R"}
    assert (found.total, found.aspect, found.shown()) == (0, 1.5, 2)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_box_lies_around_the_voxels_that_it_was_found_at(tmp_path, mirrored) -> None:
    image = np.zeros((6, 5, 4))
    image[1:3, 2:5, 1:3] = 1.0
    save_slices(tmp_path, {"exam_id": "E1", "side": "R"}, image, None, [], GRID, None, mirrored,
                np.array([[1, 2, 1, 3, 5, 3, 1, 0.5]]))
    kept = load_stack(tmp_path / "stacks" / "E1_R.npz")
    ((x, y, width, height, first, last, *_),) = kept.boxes.astype(int)
    bright = np.zeros_like(kept.image)
    bright[first : last + 1, y : y + height, x : x + width] = 255
    assert np.array_equal(kept.image, bright)
