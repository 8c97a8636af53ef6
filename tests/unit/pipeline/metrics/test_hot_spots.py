"""Hot spots of a map against a search of all neighbours, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.metrics import hot_spots


def test_hot_spots_are_maxima_apart_in_millimetres() -> None:
    heat = np.zeros((20, 20, 20))
    heat[3, 3, 3], heat[3, 7, 3], heat[15, 15, 15], heat[19, 0, 0] = 1.0, 0.9, 0.8, 0.05
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    assert hot_spots(heat, affine, apart_mm=10).points.tolist() == [[3, 6, 9], [15, 30, 45]]  # 8 mm apart, and too cold
    assert hot_spots(heat, affine, apart_mm=7).scores.tolist() == [1.0, 0.9, 0.8]
    assert hot_spots(heat, affine, apart_mm=0, relative=0, probability=0.5).scores.tolist() == [.5, .45, .4, .025]
    assert hot_spots(heat, affine, apart_mm=0, absolute=0.85).scores.tolist() == [1.0, 0.9]
    assert len(hot_spots(heat, affine, apart_mm=0, most=1)) == 1
    assert len(hot_spots(np.ones((5, 5, 5)), affine)) == len(hot_spots(np.zeros((5, 5)), affine)) == 0
    assert hot_spots(heat[:, :, 3], affine, apart_mm=0).points.tolist() == [[3, 6, 0], [3, 14, 0]]  # a picture
    with pytest.raises(ValueError, match="not finite"):
        hot_spots(np.where(heat == 1, np.nan, heat), affine)


def test_plateaus_count_once_and_only_where_nothing_beside_them_is_higher() -> None:
    heat = np.zeros((30, 30, 1))
    heat[2:5, 2:8] = 0.7  # stands alone: its centroid
    heat[15:20, 15:20], heat[20, 20] = 0.5, 0.6  # rises at its corner
    found = hot_spots(heat, np.eye(4), apart_mm=0)
    assert found.points.tolist() == [[3, 4.5, 0], [20, 20, 0]]
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:2, 3] = 29
    turned = hot_spots(heat[::-1, ::-1], affine, apart_mm=0)
    assert turned.points.tolist() == found.points.tolist()
    equal = np.zeros((9, 9, 1))
    equal[1, 7], equal[7, 1] = 1, 1
    assert hot_spots(equal, np.eye(4), apart_mm=20).points.tolist() == [[1, 7, 0]]  # the first voxel's


def test_maxima_equal_a_search_of_all_neighbours() -> None:
    heat = np.random.default_rng(0).random((9, 10, 11))
    expected = {i for i in np.ndindex(*heat.shape) if heat[i] > 0.1 * heat.max() and all(
        heat[i] >= heat[j] for j in itertools.product(*(range(max(a - 1, 0), min(a + 2, n))
                                                        for a, n in zip(i, heat.shape, strict=True))))}
    found = hot_spots(heat, np.eye(4), apart_mm=0, most=None)
    assert {tuple(p) for p in found.points.astype(int).tolist()} == expected
    assert np.all(np.diff(found.scores) <= 0)


def test_subvoxel_finds_the_top_of_a_gaussian() -> None:
    axes = np.meshgrid(*[np.arange(n) for n in (21, 21, 21)], indexing="ij")
    top = (10.3, 9.8, 11.45)
    heat = np.exp(-sum((a - t) ** 2 for a, t in zip(axes, top, strict=True)) / (2 * 3**2))
    assert hot_spots(heat, np.eye(4)).points[0].tolist() == [10, 10, 11]
    assert hot_spots(heat, np.eye(4), subvoxel=True).points[0] == pytest.approx(top, abs=0.02)
