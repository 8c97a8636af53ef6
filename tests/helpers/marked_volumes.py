"""Volumes with candidate points and lesion centres, and FROC by brute force."""

from __future__ import annotations

import math

import numpy as np

from pipeline.metrics import HotSpots, Volume
from pipeline.metrics.froc import RATES
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
