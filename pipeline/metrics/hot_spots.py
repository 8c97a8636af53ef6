"""From a heat map to a list of hot spots: local maxima, none of them near a hotter one, in millimetres.

A hot spot is what a reader would be pointed to. It is what the metrics of `localisation` score, what an inference
returns as candidates, and what `pipeline.breast_ultrasound.candidates` writes to a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pipeline.metrics.roc import Array

_NEIGHBOURS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class HotSpots:
    """Points of a volume with their scores, the highest first.

    Attributes:
        points: RAS millimetres, shape (n, 3).
        scores: shape (n,), descending.
    """

    points: Array
    scores: Array

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def of(cls, points: ArrayLike, scores: ArrayLike) -> HotSpots:
        """Points in any order; equal scores keep the order given.

        Raises:
            ValueError: the shapes do not match, or a number is not finite.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        scores = np.asarray(scores, dtype=np.float64).reshape(-1)
        if len(points) != len(scores):
            raise ValueError(f"{len(points)} points and {len(scores)} scores do not match")
        if not (np.isfinite(points).all() and np.isfinite(scores).all()):
            raise ValueError("a hot spot's place or score is not a finite number")
        order = np.argsort(-scores, kind="stable")
        return cls(points[order], scores[order])


def hot_spots(heat: ArrayLike, affine: ArrayLike, apart_mm: float = 10.0, relative: float = 0.1, absolute: float = 0.0,
              most: int | None = 50, probability: float = 1.0, subvoxel: bool = False) -> HotSpots:
    """The hot spots of a map.

    A voxel (or a plateau of voxels with one value) is a local maximum where no neighbour, across faces, edges and
    corners, is higher; a plateau stands for its centroid. From the hottest down, a maximum is kept unless one that
    was kept lies within `apart_mm`. Equal values are taken in the order of their first voxel, so that the same map
    gives the same list. A map with one value everywhere points nowhere and has no hot spot.

    A map that was enlarged costs more and says no more: give the network's own grid where it is at hand.

    Args:
        heat: the map, (X, Y, Z) or (X, Y), finite.
        affine: 4 × 4, voxel index to RAS mm; a picture's third axis is not used.
        apart_mm: hot spots lie farther apart than that; 0 keeps every maximum.
        relative: a hot spot is above this share of the map's maximum.
        absolute: and above this value.
        most: the hottest so many are kept; None for all.
        probability: of the volume; a score is the map's value times it. A map scaled by its own maximum needs it, or
            the scores of two volumes cannot be compared.
        subvoxel: move a maximum of one voxel to the top of the parabola through its neighbours, axis by axis.

    Raises:
        ValueError: a map of another dimension, or with values that are not finite.

    Example:
        >>> heat = np.zeros((9, 9, 1)); heat[2, 2], heat[2, 3], heat[7, 7] = 0.5, 0.8, 0.6
        >>> hot_spots(heat, np.diag([2.0, 2.0, 2.0, 1.0]), apart_mm=5.0).points.tolist()
        [[4.0, 6.0, 0.0], [14.0, 14.0, 0.0]]
    """
    heat, affine = np.asarray(heat), np.asarray(affine, dtype=np.float64)
    if heat.ndim not in (2, 3):
        raise ValueError(f"a map has 2 or 3 axes, not {heat.ndim}")
    heat = heat.reshape(*heat.shape, *([1] * (3 - heat.ndim)))
    low, high = (float(heat.min()), float(heat.max())) if heat.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("a map holds values that are not finite")
    cut = max(relative * high, absolute)
    if low == high or high <= cut:
        return HotSpots.of(np.zeros((0, 3)), [])
    index, values = _maxima(heat, cut, subvoxel)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    order = np.lexsort((np.arange(len(values)), -values))
    kept = _apart(points[order], apart_mm, most)
    return HotSpots.of(points[order][kept], values[order][kept] * probability)


def _maxima(heat: NDArray, cut: float, subvoxel: bool) -> tuple[Array, Array]:
    """Voxel indices (n, 3) and values (n,) of the local maxima above `cut`, in the order of their first voxels."""
    above = heat > cut
    box = ndimage.find_objects(above.astype(np.uint8))[0]
    box = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
    part = heat[box] if heat.dtype in (np.float32, np.float64) else heat[box].astype(np.float64)
    top = ndimage.maximum_filter(part, 3, mode="constant", cval=-np.inf) == part
    top &= above[box]
    plateau, count = ndimage.label(top, _NEIGHBOURS)
    places, owner = np.argwhere(top), plateau[top]
    numbers = np.setdiff1d(np.arange(1, count + 1), owner[_rises(part, top, places)])
    voxels = np.bincount(owner, minlength=count + 1)
    index = np.stack([np.bincount(owner, places[:, a], count + 1) for a in range(3)], axis=1)[numbers]
    index /= voxels[numbers, None]
    values = np.zeros(count + 1)
    values[owner] = part[top]  # one value a plateau
    values = values[numbers]
    if subvoxel:
        single = voxels[numbers] == 1
        index[single] += _tops(part, index[single].astype(int))
    return index + [s.start for s in box], values


def _rises(heat: NDArray, top: NDArray[np.bool_], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which maxima have a neighbour with their value that is no maximum: their plateau rises somewhere else."""
    found = np.zeros(len(places), bool)
    for step in np.argwhere(_NEIGHBOURS) - 1:
        beside = places + step
        inside = ((beside >= 0) & (beside < heat.shape)).all(axis=1)
        at = tuple(beside[inside].T)
        found[inside] |= (heat[at] == heat[tuple(places[inside].T)]) & ~top[at]
    return found


def _tops(heat: Array, places: NDArray[np.int64]) -> Array:
    """How far the top of the parabola through three voxels lies from the middle one, (n, 3) in voxels."""
    offsets = np.zeros((len(places), 3))
    for axis, size in enumerate(heat.shape):
        inner = (places[:, axis] > 0) & (places[:, axis] < size - 1)
        step = np.eye(3, dtype=int)[axis]
        before, here, after = (heat[tuple((places[inner] + i * step).T)].astype(np.float64) for i in (-1, 0, 1))
        offsets[inner, axis] = 0.5 * (before - after) / (before - 2 * here + after)  # within ± ½ of a maximum
    return offsets


def _apart(points: Array, apart_mm: float, most: int | None) -> NDArray[np.int64]:
    """Which points, sorted from the hottest, are farther than `apart_mm` from all that are kept before them."""
    near = cKDTree(points) if len(points) else None
    free = np.ones(len(points), bool)
    kept: list[int] = []
    for i in range(len(points)):
        if most is not None and len(kept) >= most:
            break
        if free[i] and near is not None:
            kept.append(i)
            if apart_mm > 0:
                free[near.query_ball_point(points[i], apart_mm)] = False
    return np.asarray(kept, dtype=np.int64)
