"""Does a map point to the lesion, when all that is known of the lesion is a point?

Definitions, formulas and a worked example: docs/explanation/localisation.md. Every figure stands beside the same
figure of a chance map, and their difference has an interval under the same draws of patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from pipeline.metrics.bootstrap import Medians, Shares, Statistic, interval, p_value, replicates
from pipeline.metrics.froc import RATES, Froc, outcomes
from pipeline.metrics.hot_spots import HotSpots
from pipeline.metrics.roc import Array
from transforms.grid import Grid

RADII_MM = (5.0, 10.0, 15.0, 20.0)
Region = Callable[[Array], NDArray[np.bool_]]  # points (n, 3) in RAS mm to (n, m lesions): which lies in which


@dataclass(frozen=True)
class Volume:
    """What a map said of one volume, and what is true of it.

    Attributes:
        patient: whose it is.
        spots: the map's hot spots.
        centers: the lesions' centres in RAS mm, (m, 3); none where the volume is healthy.
        grid: of the volume; where its relative places lie, for the chance map.
        region: the lesions' extent where it is known, from `in_boxes` or `in_mask`.
    """

    patient: str
    spots: HotSpots
    centers: ArrayLike
    grid: Grid
    region: Region | None = None

    def distances(self) -> Array:
        """Of each hot spot to each centre in mm, (n, m)."""
        return cdist(self.spots.points, np.asarray(self.centers, dtype=np.float64).reshape(-1, 3))

    def hits(self, radius_mm: float | None) -> NDArray[np.bool_]:
        """Which hot spot hits which lesion, (n, m): within a radius of its centre, or (None) inside its region."""
        if radius_mm is not None:
            return np.asarray(self.distances() <= radius_mm, dtype=np.bool_)
        if self.region is None:
            raise ValueError("a hit by inclusion takes lesions with a box or a mask")
        return self.region(self.spots.points)


def in_boxes(boxes: ArrayLike, grid: Grid) -> Region:
    """Boxes along the voxels' axes: first and last voxel of each, inclusive, (m, 2, 3); in 3D (x, y, z)."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 3)

    def region(points: Array) -> NDArray[np.bool_]:
        index = grid.to_index(points)[:, None]
        return np.all((index >= boxes[:, 0] - 0.5) & (index <= boxes[:, 1] + 0.5), axis=2)

    return region


def in_mask(mask: NDArray, grid: Grid, lesions: Sequence[int]) -> Region:
    """A mask (X, Y, Z) that holds a lesion's number in each of its voxels; `lesions` are the centres' numbers."""

    def region(points: Array) -> NDArray[np.bool_]:
        index = np.rint(grid.to_index(points)).astype(int)
        inside = ((index >= 0) & (index < mask.shape)).all(axis=1)
        found = np.zeros(len(points), dtype=np.int64)
        found[inside] = mask[tuple(index[inside].T)]
        return found[:, None] == np.asarray(lesions)

    return region


def shuffled(volumes: Sequence[Volume], times: int = 5, seed: int = 0) -> list[list[Volume]]:
    """Chance: each volume is answered by the map of another patient's, laid over it at the same relative places.

    Such maps have as many hot spots, the same scores and the same habits (a liking for the centre, say) as the real
    ones. What they lack is any knowledge of the volume.

    Args:
        volumes: of at least two patients.
        times: how many other maps each volume gets.
        seed: of the choice.

    Returns:
        `times` lists, each with the volumes in their order.

    Raises:
        ValueError: all volumes are one patient's.
    """
    random = np.random.default_rng(seed)
    patients = np.asarray([volume.patient for volume in volumes])
    result: list[list[Volume]] = [[] for _ in range(times)]
    for volume in volumes:
        others = np.flatnonzero(patients != volume.patient)
        if not len(others):
            raise ValueError("a chance map takes the volumes of at least two patients")
        drawn = np.concatenate([random.permutation(others) for _ in range(-(-times // len(others)))])[:times]
        for turn, i in zip(result, drawn, strict=True):
            turn.append(replace(volume, spots=_laid(volumes[i], volume.grid)))
    return result


def _laid(volume: Volume, grid: Grid) -> HotSpots:
    share = (volume.grid.to_index(volume.spots.points) + 0.5) / volume.grid.shape
    return HotSpots(grid.to_world(share * grid.shape - 0.5), volume.spots.scores)


def random_point_share(body: NDArray, grid: Grid, centers: ArrayLike, radii_mm: Sequence[float] = RADII_MM) -> Array:
    """How often a random voxel of the body lies within each radius of a centre: exact, and no map is needed.

    Args:
        body: where a peak may lie, (X, Y, Z), 0 or not.
        grid: of the body.
        centers: RAS mm, (m, 3).
        radii_mm: k radii.

    Returns:
        Shares, (k,): the expected pointing game of a peak that knows the body and nothing else.
    """
    places = grid.to_world(np.argwhere(body))
    nearest = np.full(len(places), np.inf)
    for center in np.asarray(centers, dtype=np.float64).reshape(-1, 3):
        nearest = np.minimum(nearest, np.linalg.norm(places - center, axis=1))
    return np.array([np.mean(nearest <= radius) if len(places) else np.nan for radius in radii_mm])


def pointing(turns: Sequence[Sequence[Volume]], radii: Sequence[float | None]) -> Shares:
    """The pointing game: in what share of the volumes with a lesion the hottest spot hits one, for k radii.

    Args:
        turns: lists of the same volumes, averaged: one list for a map, several for chance.
        radii: mm; None for a hit by inclusion.

    Returns:
        A statistic of weights (chunk, n volumes) with values (chunk, k). A volume without a hot spot is a miss.
    """
    value = np.mean([[[v.hits(radius)[:1].any() for radius in radii] for v in turn] for turn in turns], axis=0)
    where = np.repeat([[_lesions(v) > 0] for v in turns[0]], len(radii), axis=1)
    return Shares(value, where)


def peak_distance(turns: Sequence[Sequence[Volume]]) -> Medians:
    """The median over volumes with a lesion of the distance in mm from the hottest spot to the nearest centre."""
    rows = [(i, v.distances()[:1].min(initial=np.inf)) for turn in turns for i, v in enumerate(turn) if _lesions(v)]
    return Medians([d for _, d in rows], [i for i, _ in rows])


def nearest_distance(turns: Sequence[Sequence[Volume]]) -> Medians:
    """The median over lesions of the distance in mm from the centre to the nearest hot spot."""
    rows = [(i, d) for turn in turns for i, v in enumerate(turn) for d in v.distances().min(axis=0, initial=np.inf)]
    return Medians([d for _, d in rows], [i for i, _ in rows])


def froc(turns: Sequence[Sequence[Volume]], radius_mm: float | None, rates: Sequence[float] = RATES) -> Froc:
    """FROC with a hit within a radius of the centre, or (None) by inclusion."""
    volumes = [(i, v) for turn in turns for i, v in enumerate(turn)]
    results = [outcomes(v.hits(radius_mm), v.distances()) for _, v in volumes]
    return Froc([v.spots.scores for _, v in volumes], results, [_lesions(v) for _, v in volumes],
                [i for i, _ in volumes], rates)


def _lesions(volume: Volume) -> int:
    return len(np.asarray(volume.centers).reshape(-1, 3))


def localise(volumes: Sequence[Volume], radii_mm: Sequence[float] = RADII_MM, froc_radius_mm: float | None = 10.0,
             count: int = 2000, seed: int = 0, times: int = 5) -> dict[str, Any]:
    """Every measure of localisation, with intervals, and against chance.

    Args:
        volumes: healthy and diseased ones; healthy ones count false positives.
        radii_mm: of the pointing game; hits by inclusion are added where every lesion has a region.
        froc_radius_mm: of FROC; None for hits by inclusion.
        count: bootstrap replicates, drawn by patient.
        seed: of the draws and of the chance maps.
        times: chance maps a volume; 0 leaves chance out.

    Returns:
        `volumes`, `diseased`, `lesions`, `patients`; `pointing` (a row a radius), `peak_mm`, `nearest_mm`, `froc` with
        `radius_mm`, `sensitivity` (a row a rate), `mean`, and `curve`. A row holds `value` and `ci95`, and with chance
        also `chance`, `difference` (value − chance), its `difference_ci95` and `p`.

    Raises:
        ValueError: no volume, or chance is asked for and all are one patient's.
    """
    if not volumes:
        raise ValueError("there is no volume to score")
    diseased = [v for v in volumes if _lesions(v)]
    radii: list[float | None] = [*radii_mm]
    if diseased and all(v.region is not None for v in diseased):
        volumes = [v if _lesions(v) else replace(v, region=in_boxes([], v.grid)) for v in volumes]
        radii.append(None)
    sets = [[list(volumes)], *([shuffled(volumes, times, seed)] if times else [])]
    made = [(pointing(turns, radii), peak_distance(turns), nearest_distance(turns), froc(turns, froc_radius_mm))
            for turns in sets]
    statistics: list[Statistic] = [statistic for four in made for statistic in four]
    whole = [statistic(np.ones((1, len(volumes))))[0] for statistic in statistics]
    draws = replicates([v.patient for v in volumes], statistics, count, seed)
    rows = [_rows(whole[i::4], draws[i::4]) for i in range(4)]
    threshold, rate, sensitivity = made[0][3].curve()
    return {
        "volumes": len(volumes), "diseased": len(diseased), "lesions": sum(_lesions(v) for v in volumes),
        "patients": len({v.patient for v in volumes}),
        "pointing": [{"radius_mm": radius, **row} for radius, row in zip(radii, rows[0], strict=True)],
        "peak_mm": rows[1][0],
        "nearest_mm": rows[2][0],
        "froc": {
            "radius_mm": froc_radius_mm,
            "sensitivity": [{"false_positives": x, **row} for x, row in zip(RATES, rows[3][:-1], strict=True)],
            "mean": rows[3][-1],
            "curve": {"threshold": threshold[1:].tolist(), "false_positives": rate[1:].tolist(),
                      "sensitivity": sensitivity[1:].tolist()},
        },
    }


def _rows(values: Sequence[Array], draws: Sequence[Array]) -> list[dict[str, Any]]:
    """One row a figure of a statistic, from its values (k,) and replicates (count, k), the map's before chance's."""
    rows: list[dict[str, Any]] = []
    for k, value in enumerate(values[0]):
        row = {"value": float(value), "ci95": interval(draws[0][:, k])}
        if len(values) > 1:
            with np.errstate(invalid="ignore"):
                change = draws[0][:, k] - draws[1][:, k]
                row |= {"chance": float(values[1][k]), "difference": float(value - values[1][k]),
                        "difference_ci95": interval(change), "p": p_value(change)}
        rows.append(row)
    return rows
