"""Localisation from points: the example of docs/explanation/localisation.md, brute force, and what chance is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from marked_volumes import GRID, cohort, example, volume

from pipeline.metrics import HotSpots, Volume, in_boxes, in_mask, localise, random_point_share, shuffled
from pipeline.metrics.froc import FALSE, FOUND, NEITHER, outcomes
from pipeline.metrics.localisation import froc, nearest_distance, peak_distance, pointing
from transforms.grid import Grid


def test_worked_example() -> None:
    one = np.ones((1, 3))
    turns = [example()]
    assert [outcomes(v.hits(10), v.distances()).tolist() for v in turns[0]] == [
        [FOUND, NEITHER, FALSE, FOUND], [FALSE, FOUND], [FALSE]]
    assert pointing(turns, [4, 5, 10, 20])(one)[0] == pytest.approx([0, 1 / 2, 1 / 2, 1])
    assert peak_distance(turns)(one)[0, 0] == pytest.approx((5 + 20) / 2)
    assert nearest_distance(turns)(one)[0, 0] == pytest.approx(8)  # 5, 8 and 10 mm
    curve = froc(turns, 10)
    threshold, false, found = curve.curve()
    assert threshold.tolist() == [math.inf, .9, .7, .6, .5, .4, .3]
    assert false == pytest.approx(np.array([0, 0, 1, 2, 3, 3, 3]) / 3)
    assert found == pytest.approx(np.array([0, 1, 1, 1, 1, 2, 3]) / 3)
    assert curve(one)[0] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1, 1, 1, 5 / 7])
    # A drawn twice, B once, C not at all: 3 volumes, 5 lesions.
    assert curve(np.array([[2.0, 1, 0]]))[0, :4] == pytest.approx([2 / 5, 2 / 5, 2 / 5, 1])


def test_intervals_are_of_patients_and_above_chance() -> None:
    found = localise(cohort(60, known=0.8), froc_radius_mm=10, count=500)
    assert (found["volumes"], found["patients"]) == (60, 30)
    for row in (found["pointing"][1], found["froc"]["mean"], found["froc"]["sensitivity"][3]):
        assert row["ci95"][0] < row["value"] < row["ci95"][1]
        assert row["chance"] < row["value"] and row["difference_ci95"][0] > 0 and row["p"] < 0.05
    assert found["nearest_mm"]["difference_ci95"][1] < 0
    doubled = [v for v in cohort(60, known=0.8) for _ in range(2)]  # copies within patients add nothing
    again = localise(doubled, count=500, times=0)
    assert again["pointing"][1]["ci95"] == pytest.approx(found["pointing"][1]["ci95"])
    assert "chance" not in again["peak_mm"]


def test_a_map_that_knows_nothing_is_at_chance() -> None:
    found = localise(cohort(150, known=0), radii_mm=(20.0,), froc_radius_mm=20, count=500)
    assert found["pointing"][0]["p"] > 0.05 and found["froc"]["mean"]["p"] > 0.05


def test_chance_maps_are_other_patients_at_the_same_relative_places() -> None:
    large = Grid((50, 100, 20), np.diag([-2.0, 2.0, 5.0, 1.0]))
    here = volume("A", [(9.5, 19.5, 29.5, 1)], [])
    there = Volume("B", HotSpots.of(large.to_world([[4.5, 19.5, 9.5]]), [2.0]), np.zeros((0, 3)), large)
    for turn in shuffled([here, there], times=3):
        assert GRID.to_index(turn[0].spots.points)[0] == pytest.approx([9.5, 19.5, 49.5])  # 10, 20 and 50 %
        assert large.to_index(turn[1].spots.points)[0] == pytest.approx([4.5, 19.5, 5.5])
        assert turn[0].spots.scores.tolist() == [2.0]
    with pytest.raises(ValueError, match="two patients"):
        shuffled([here])


def test_a_random_point_is_within_reach_as_often_as_the_ball_fills_the_body() -> None:
    body = np.ones((60, 60, 60), np.uint8)
    share = random_point_share(body, Grid((60, 60, 60), np.eye(4)), [(30, 30, 30)], (6.0, 12.0, 200.0))
    assert share == pytest.approx([4 / 3 * math.pi * r**3 / 60**3 for r in (6, 12)] + [1], rel=0.03)


def test_hits_by_inclusion_in_boxes_and_masks() -> None:
    grid = Grid((40, 40, 40), np.array([[0, 0, 2.0, 5], [-1, 0, 0, 7], [0, 0.5, 0, -9], [0, 0, 0, 1]]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[10:15, 20:31, 5:9], mask[30, 30, 30] = 1, 7
    boxes = [[(10, 20, 5), (14, 30, 8)], [(30, 30, 30), (30, 30, 30)]]
    index = np.array([[9.6, 30.4, 8.4], [9.4, 25, 6], [30, 30, 30], [80, 0, 0]])
    expected = [[True, False], [False, False], [False, True], [False, False]]
    for region in (in_boxes(boxes, grid), in_mask(mask, grid, (1, 7))):
        assert region(grid.to_world(index)).tolist() == expected
    spots = HotSpots.of(grid.to_world(index), [1.0, .9, .8, .7])
    volumes = [Volume(p, spots, grid.to_world([[12, 25, 6.5], [30, 30, 30]]), grid, in_boxes(boxes, grid))
               for p in "AB"] + [volume("C", [(1, 1, 1, 0.1)], [])]
    found = localise(volumes, froc_radius_mm=None, count=50)
    assert found["pointing"][-1]["radius_mm"] is None and found["pointing"][-1]["value"] == 1
    assert found["froc"]["sensitivity"][-1]["value"] == 1
    with pytest.raises(ValueError, match="box or a mask"):
        example()[0].hits(None)
