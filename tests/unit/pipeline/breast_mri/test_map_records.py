"""A map's peak against lesions, and its slice as it is shown, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.breast_mri.map_records import peak_of, plane_picture, pointing
from transforms.grid import Grid

GRID = Grid((6, 5, 4), np.diag([2.0, 3.0, 4.0, 1.0]))


def test_the_nearest_of_several_lesions_counts_and_chance_is_over_the_body() -> None:
    heat, body = np.zeros((6, 5, 4)), np.zeros((6, 5, 4), bool)
    heat[4, 1, 2] = 0.5
    body[:, 1, 2] = True  # six voxels 2 mm apart; two of them within 2.5 mm of (5, 1, 2), three of (4, 1, 2)
    assert peak_of(heat).tolist() == [4, 1, 2]
    found = pointing(heat, body, GRID, [(5, 1, 2), (0, 0, 0)], 2.5)
    assert found == {"hit": 1, "distance_mm": 2.0, "radius_mm": 2.5, "chance": pytest.approx(2 / 6, abs=1e-4)}
    far = pointing(heat, body, GRID, [(4, 2, 3)], 4.9)
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
