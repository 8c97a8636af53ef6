"""Small structures of the breast phantom, painted into boxes of a grid: lesions and vessels.

A structure thinner than a slice shows by as much as it fills of a voxel: shapes are sampled within voxels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.breast_mri.specs import REACH, SIDES, Breast, ExamSpec, Lesion

Box = tuple[slice, ...]
Tube = tuple[np.ndarray, float]  # ends (2, 3) in RAS mm, radius in mm


@dataclass(frozen=True)
class Grid:
    """Voxels in the world."""

    shape: tuple[int, int, int]
    affine: np.ndarray  # 4 × 4, voxel index to RAS mm

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def index(self, point: np.ndarray) -> np.ndarray:
        """Voxel index (not rounded) of a RAS point in mm."""
        return np.linalg.solve(self.affine[:3, :3], np.asarray(point) - self.affine[:3, 3])

    def box(self, center: np.ndarray, half: float,
            step: float) -> tuple[Box, np.ndarray, tuple[int, ...]] | None:
        """The voxels within `half` mm of a point, and the points that sample them.

        Args:
            center: RAS mm.
            half: mm.
            step: wanted distance of the samples in mm; a voxel gets between 1 and 6 along an axis.

        Returns:
            The slices, the samples relative to the centre (3, ni·si, nj·sj, nk·sk) in mm, and the shape
            (ni, si, nj, sj, nk, sk) by which `mean_in_voxels` sorts them; None where the box is off the grid.
        """
        middle = self.index(center)
        low = np.maximum(np.floor(middle - half / self.spacing).astype(int), 0)
        high = np.minimum(np.ceil(middle + half / self.spacing).astype(int) + 1, self.shape)
        if (low >= high).any():
            return None
        axes, sizes = [], []
        for i in range(3):
            n, parts = int(high[i] - low[i]), int(np.clip(round(self.spacing[i] / step), 1, 6))
            axes.append(low[i] - 0.5 + (np.arange(n * parts) + 0.5) / parts - middle[i])
            sizes += [n, parts]
        ijk = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
        direction = self.affine[:3, :3].astype(np.float32)
        points = np.stack([sum(direction[row, i] * ijk[i] for i in range(3)) for row in range(3)])
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), points, tuple(sizes)


def mean_in_voxels(values: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The mean of the samples in each voxel."""
    return values.reshape(sizes).mean(axis=(1, 3, 5))


class LesionShape:
    """A lobulated ball, with or without spicules; both margins have the same volume at the same diameter.

    Args:
        lesion: the lesion.
        rng: every lesion draws the same numbers, whatever its margin.
    """

    def __init__(self, lesion: Lesion, rng: np.random.Generator) -> None:
        self.lesion = lesion
        self.lobes = _directions(rng, 4)
        self.lobe_heights = rng.uniform(-0.16, 0.16, 4)
        self.spicules = _directions(rng, 20)
        self.spicule_heights = rng.uniform(0.5, 1.1, 20)
        self.radius = lesion.diameter_mm / 2
        self.scale = 1.0
        sphere = _even_directions(1500)
        for _ in range(4):  # the limit of REACH takes volume away, so it takes a few rounds
            volume = float((self._extent(sphere) ** 3).mean()) / self.radius**3  # in balls of the diameter
            self.scale *= volume ** (-1 / 3)

    def _extent(self, directions: np.ndarray) -> np.ndarray:
        """Distance in mm from the centre to the surface, for unit vectors (3, n)."""
        lobes = 1 + self.lobe_heights.astype(np.float32) @ np.maximum(self.lobes @ directions, 0) ** 2
        if self.lesion.margin == "spiculated":
            spikes = np.zeros(directions.shape[1], np.float32)
            for direction, height in zip(self.spicules, self.spicule_heights, strict=True):
                # Width: about 8° to 1/e. Far from the spicule's direction, exp is 0.
                np.maximum(spikes, height * np.exp(50 * (direction @ directions - 1)), out=spikes)
            lobes = lobes * 0.9 + spikes
        return np.minimum(self.scale * lobes, REACH) * self.radius

    def coverage(self, grid: Grid) -> tuple[Box, np.ndarray] | None:
        """The box around the lesion and how much of each of its voxels is lesion, 0 to 1."""
        found = grid.box(np.asarray(self.lesion.center_mm), REACH * self.radius, step=1.0)
        if found is None:
            return None
        box, points, sizes = found
        flat = points.reshape(3, -1)
        distance = np.sqrt((flat**2).sum(axis=0)) + 1e-6
        inside = np.clip(self._extent(flat / distance) - distance + 0.5, 0, 1)
        return box, mean_in_voxels(inside.reshape(points.shape[1:]), sizes)


def _vessels(breast: Breast, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, float]]:
    """A breast's vessels as short straight pieces: ends (2, 3) as (u, y, z) in mm, and radius in mm.

    Most run under the skin from the base towards the nipple, some deeper; all get thinner on their way.
    """
    for _ in range(int(rng.integers(3, 9))):
        steps = np.linspace(0, 1, 15)
        polar = np.radians(np.interp(steps, [0, 1], [rng.uniform(70, 88), rng.uniform(12, 45)]))
        around = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.5) * steps
        around += rng.uniform(0.05, 0.2) * np.sin(rng.uniform(4, 12) * steps + rng.uniform(0, 2 * np.pi))
        level = rng.uniform(0.75, 0.88) if rng.random() < 0.6 else rng.uniform(0.35, 0.7)
        depth = level + 0.04 * np.sin(rng.uniform(5, 10) * steps + rng.uniform(0, 2 * np.pi))
        unit = np.array([np.sin(polar) * np.cos(around), np.cos(polar), np.sin(polar) * np.sin(around)])
        path = np.asarray(breast.center) + (depth * unit).T * np.asarray(breast.axes)
        radius = rng.uniform(0.7, 1.8)
        for i in range(len(path) - 1):
            yield path[i : i + 2], radius * (1 - 0.5 * float(steps[i]))


def tubes(spec: ExamSpec, rng: np.random.Generator) -> list[Tube]:
    """Every vessel of an exam in short pieces: those of both breasts and the internal mammary ones."""
    shift = np.array([spec.midline_mm, 0, 0])
    trees = [_vessels(spec.anatomy.breasts[side], rng) for side in SIDES]
    found = [(ends + shift, radius) for tree in trees for ends, radius in tree]
    for sign in (-1, 1):
        x, radius = sign * rng.uniform(14, 20), rng.uniform(1.0, 1.6)
        found += [(np.array([[x, -13, z], [x, -13, z + 12]]) + shift, radius) for z in range(-84, 84, 12)]
    return found


def vessel_parts(grid: Grid, pieces: list[Tube]) -> np.ndarray:
    """The part of each voxel that is vessel, float32 (i, j, k)."""
    parts = np.zeros(grid.shape, np.float32)
    for ends, radius in pieces:
        _paint(parts, grid, ends, radius)
    return parts


def _paint(volume: np.ndarray, grid: Grid, ends: np.ndarray, radius: float) -> None:
    """Raise `volume` to the part of each voxel that lies within `radius` of a straight piece.

    Args:
        volume: (i, j, k), 0 to 1; changed in place.
        grid: of the volume.
        ends: (2, 3), RAS mm.
        radius: mm.
    """
    middle, half = ends.mean(axis=0), (ends[1] - ends[0]) / 2
    found = grid.box(middle, float(np.linalg.norm(half)) + radius, step=1.0)
    if found is None:
        return
    box, points, sizes = found
    half = half.astype(np.float32)
    along = np.clip(np.tensordot(half, points, 1) / max(float(half @ half), 1e-6), -1, 1)
    distance = np.sqrt(sum((points[i] - along * half[i]) ** 2 for i in range(3)))
    inside = mean_in_voxels(np.clip(radius - distance + 0.5, 0, 1), sizes)
    np.maximum(volume[box], inside, out=volume[box])


def _directions(rng: np.random.Generator, number: int) -> np.ndarray:
    """Random unit vectors (number, 3)."""
    vectors = rng.standard_normal((number, 3))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _even_directions(number: int) -> np.ndarray:
    """Unit vectors (3, number) spread evenly over the sphere (a Fibonacci spiral)."""
    height = 1 - (2 * np.arange(number) + 1) / number
    turn = np.arange(number) * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), height]).astype(np.float32)
