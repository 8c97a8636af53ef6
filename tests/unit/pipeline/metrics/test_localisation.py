"""Localisation from points: the example of docs/explanation/localisation.md, brute force, and what chance is."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.breast_ultrasound.candidates import read_candidates, write_candidates
from pipeline.errors import InputError
from pipeline.metrics import (
    HotSpots,
    Medians,
    Volume,
    hot_spots,
    in_boxes,
    in_mask,
    localise,
    random_point_share,
    shuffled,
)
from pipeline.metrics.froc import FALSE, FOUND, NEITHER, RATES, Froc, outcomes
from pipeline.metrics.localisation import froc, nearest_distance, peak_distance, pointing
from transforms.grid import Grid

GRID = Grid((100, 100, 100), np.eye(4))


def volume(patient: str, spots: list[tuple[float, ...]], centers: list[tuple[float, ...]], **more) -> Volume:
    """A volume from rows of (x, y, z, score)."""
    rows = np.reshape(spots, (-1, 4))
    return Volume(patient, HotSpots.of(rows[:, :3], rows[:, 3]), np.reshape(centers, (-1, 3)), GRID, **more)


def example() -> list[Volume]:
    """The worked example of the page."""
    return [
        volume("A", [(3, 4, 0, .9), (0, 0, 6, .8), (60, 0, 0, .5), (30, 8, 0, .3)], [(0, 0, 0), (30, 0, 0)]),
        volume("B", [(0, 20, 0, .7), (6, 8, 0, .4)], [(0, 0, 0)]),
        volume("C", [(0, 0, 0, .6)], []),
    ]


def cohort(count: int, seed: int = 0, known: float = 1.0) -> list[Volume]:
    """Volumes of two a patient, many scores equal; `known` is the share of lesions that the map knows."""
    random = np.random.default_rng(seed)
    made = []
    for i in range(count):
        centers = random.uniform(10, 90, (int(random.integers(0, 4)), 3))
        points = random.uniform(0, 100, (8, 3))
        points[: len(centers)] = np.where(random.random((len(centers), 1)) < known,
                                          centers + random.normal(0, 4, centers.shape), points[: len(centers)])
        points[7] = points[0] + 2  # a second spot on what the first found
        scores = np.round(random.normal(np.arange(8) < len(centers), 1), 1)
        made.append(volume(f"P{i // 2}", np.c_[points, scores].tolist(), centers.tolist()))
    return made


def brute_force(volumes: list[Volume], radius: float, rates: tuple[float, ...] = RATES) -> list[float]:
    """FROC as one would write it down: every threshold by itself, one candidate after the other."""
    lesions = sum(len(v.centers) for v in volumes)
    points = [(0.0, 0.0)]
    for threshold in sorted({s for v in volumes for s in v.spots.scores}, reverse=True):
        false = found = 0
        for v in volumes:
            open_ = [tuple(c) for c in v.centers]
            for point, score in zip(v.spots.points, v.spots.scores, strict=True):
                if score < threshold:
                    continue
                near = sorted((math.dist(point, c), c) for c in open_ if math.dist(point, c) <= radius)
                if near:
                    open_.remove(near[0][1])
                    found += 1
                elif not any(math.dist(point, c) <= radius for c in v.centers):
                    false += 1
        points.append((false / len(volumes), found / lesions))
    result = []
    for rate in rates:
        before = [p for p in points if p[0] <= rate]
        after = [p for p in points if p[0] > rate]
        (x0, y0), (x1, y1) = before[-1], (after or before[-1:])[0]
        result.append(y0 + (y1 - y0) * (rate - x0) / (x1 - x0) if x1 > x0 else y0)
    return [*result, float(np.mean(result))]


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


@pytest.mark.parametrize("seed", range(4))
def test_froc_equals_brute_force_with_ties(seed: int) -> None:
    volumes = cohort(15, seed)
    whole = froc([volumes], 10)
    assert whole(np.ones((1, 15)))[0] == pytest.approx(brute_force(volumes, 10), abs=1e-12)
    weight = np.random.default_rng(seed).integers(0, 3, (6, 15))
    for row, found in zip(weight, whole(weight.astype(float)), strict=True):
        repeated = [v for v, times in zip(volumes, row, strict=True) for _ in range(times)]
        assert found == pytest.approx(brute_force(repeated, 10), abs=1e-12)


def test_froc_does_not_depend_on_how_replicates_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes, weight = cohort(20), np.random.default_rng(0).integers(0, 3, (30, 20)).astype(float)
    expected = froc([volumes], 10)(weight)
    monkeypatch.setattr("pipeline.metrics.froc._BLOCK", 400)
    assert np.array_equal(froc([volumes], 10)(weight), expected)


def test_no_lesions_no_candidates_no_answer() -> None:
    healthy, silent = volume("A", [(1, 1, 1, .5)], []), volume("B", [], [(5, 5, 5)])
    assert np.isnan(froc([[healthy]], 10)(np.ones((1, 1)))).all()
    assert froc([[silent]], 10)(np.ones((1, 1)))[0].tolist() == [0] * 8
    assert pointing([[silent]], [50.0])(np.ones((1, 1)))[0, 0] == 0
    assert nearest_distance([[healthy, silent]])(np.ones((1, 2)))[0, 0] == math.inf
    assert np.isnan(nearest_distance([[healthy]])(np.ones((1, 1)))).all()
    with pytest.raises(ValueError, match="not a finite number"):
        Froc([[math.nan]], [[FALSE]], [0])


def test_one_candidate_finds_one_lesion_the_nearest() -> None:
    hits = np.array([[True, True], [True, False], [True, True], [False, False]])
    distances = np.array([[4.0, 3.0], [1.0, 9.0], [1.0, 1.0], [50.0, 50.0]])
    assert outcomes(hits, distances).tolist() == [FOUND, FOUND, NEITHER, FALSE]
    assert outcomes(hits[:, :0], distances[:, :0]).tolist() == [FALSE] * 4


def test_medians_are_those_of_repeated_values() -> None:
    random = np.random.default_rng(1)
    value, row = np.round(random.random(40), 1), random.integers(0, 12, 40)
    weight = random.integers(0, 3, (20, 12))
    found = Medians(value, row)(weight.astype(float))[:, 0]
    assert found == pytest.approx([np.median(np.repeat(value, w[row])) for w in weight])
    assert np.isnan(Medians([1.0], [0])(np.array([[0.0, 1.0]]))).all()


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


def test_challenge_candidates_keep_places_through_the_file(tmp_path: Path) -> None:
    path = tmp_path / "candidates.csv"
    grid = Grid((865, 682, 354), np.array([[-.2, 0, 0, 80], [0, -.073, 0, 3], [0, 0, .475674, -90], [0, 0, 0, 1]]))
    spots = HotSpots.of(grid.to_world([[314, 242, 189], [20, 30, 40.25]]), [0.91, 0.2])
    write_candidates(path, {"100": (spots, grid), "101": (HotSpots.of(np.zeros((0, 3)), []), grid)}, box_mm=12)
    lines = path.read_text().splitlines()
    assert lines[0] == "public_id,coordX,coordY,coordZ,x_length,y_length,z_length,probability"
    assert lines[1] == "100,189.00,242.00,314.00,25.23,164.38,60.00,0.91"
    found = read_candidates(path, {"100": grid, "101": grid})
    assert found["100"].points == pytest.approx(spots.points, abs=0.005)
    assert found["100"].scores.tolist() == [0.91, 0.2] and len(found["101"]) == 0
    write_candidates(path, {"100": (spots, grid)})
    assert path.read_text().startswith("public_id,coordX,coordY,coordZ,probability\n")
    assert len(read_candidates(path, {"100": grid})["100"]) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("public_id,coordX,coordY,coordZ\n", "column `probability` is missing"),
    ("public_id,coordX,coordY,coordZ,probability\n7,1,2,3,.5\n", "row 2: its public_id is no volume"),
    ("public_id,coordX,coordY,coordZ,probability\n1,1,,3,.5\n", "row 2: `coordY` is empty"),
    ("public_id,coordX,coordY,coordZ,probability\n1,1,nan,3,.5\n", "row 2: `coordY` is not a number"),
])
def test_candidates_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "candidates.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_candidates(path, {"1": GRID})
    with pytest.raises(InputError, match="cannot be read"):
        read_candidates(tmp_path / "none.csv", {"1": GRID})
