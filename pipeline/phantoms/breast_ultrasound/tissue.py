"""Tissues of the ultrasound phantom: how strongly each place scatters, and what a beam has lost when it gets there.

Arrays are (sweep, depth, lateral), on a grid that is coarser than a full-size image's; both maps are in decibels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.stats import norm

from pipeline.phantoms.breast_mri.shapes import Grid, LesionShape, Tube, vessel_parts
from pipeline.phantoms.breast_mri.specs import Lesion as ShapeOf
from pipeline.phantoms.breast_ultrasound.specs import DENSE_PARTS, Lesion, VolumeSpec

# Scatter strength in dB; the gland's is 0.
FAT, LOBULE, MUSCLE, SEPTUM, FASCIA, SKIN, DUCT = -13.0, -15.0, -10.0, -1.0, 7.0, 3.0, -19.0
RIB, BONE, PLEURA, LUNG = 13.0, -16.0, 11.0, -17.0
# What a beam loses in dB per mm beyond what the time-gain compensation gives back.
REST, DENSE, MARROW = 0.08, 0.06, 3.0
RIB_PERIOD, RIB_HALF = 26.0, (6.0, 4.0)  # mm along the sweep; half axes along sweep and depth
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Frame:
    """A grid of the volume in the probe's millimetres.

    Attributes:
        shape: voxels along (lateral, depth, sweep).
        spacing: mm, the same order.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Voxels' centres along u, d and s, float32, shaped to broadcast as (sweep, depth, lateral)."""
        u, d, s = ((np.arange(n) + 0.5) * step for n, step in zip(self.shape, self.spacing, strict=True))
        u, s = u - self.shape[0] * self.spacing[0] / 2, s - self.shape[2] * self.spacing[2] / 2
        u, d, s = (axis.astype(np.float32) for axis in (u, d, s))
        return u[None, None, :], d[None, :, None], s[:, None, None]

    def grid(self, stretch: tuple[float, ...] = (1, 1, 1)) -> Grid:
        """As a `breast_shapes.Grid` of (u, d, s), with millimetres divided by `stretch`."""
        affine = np.diag([*self.spacing, 1.0])
        start = [-self.shape[0] * self.spacing[0] / 2, 0, -self.shape[2] * self.spacing[2] / 2]
        affine[:3, 3] = np.asarray(start) + np.asarray(self.spacing) / 2
        return Grid(self.shape, np.diag([*(1 / np.asarray(stretch)), 1.0]) @ affine)


def lerp(array: np.ndarray, places: list[np.ndarray]) -> np.ndarray:
    """Linear interpolation at fractional indices, an axis at a time; beyond the border its value."""
    for axis, at in enumerate(places):
        at = np.clip(at, 0, array.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(array.shape[axis] - 2, 0))
        weight = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        near = np.take(array, low, axis)
        far = np.take(array, np.minimum(low + 1, array.shape[axis] - 1), axis)
        far -= near
        far *= weight
        near += far
        array = near
    return array


def coverage(lesion: Lesion, frame: Frame, seed: int) -> tuple[Box, np.ndarray] | None:
    """The box (sweep, depth, lateral) around a lesion, and how much of each voxel is lesion, 0 to 1."""
    stretch = (lesion.stretch, lesion.stretch**-2, lesion.stretch)
    u, d, s = (p / k for p, k in zip(lesion.place, stretch, strict=True))
    margin = "spiculated" if lesion.margin == "irregular" else "smooth"
    shape = ShapeOf("", (u, d, s), lesion.diameter_mm, lesion.malignant, "", margin)
    found = LesionShape(shape, np.random.default_rng(seed)).coverage(frame.grid(stretch))
    return found and (found[0][::-1], found[1].T)


def render(spec: VolumeSpec, frame: Frame, rng: np.random.Generator,
           shapes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """A volume's tissues.

    Args:
        spec: what it holds.
        frame: the grid.
        rng: everything that the spec leaves open comes from it.
        shapes: a seed for each lesion's outline.

    Returns:
        Scatter strength, and loss up to each place, in dB, float32 (sweep, depth, lateral).
    """
    u, d, s = frame.axes()
    step = frame.spacing[1]
    layers, nipple = spec.layers, spec.nipple
    field = _Fields(frame, rng)
    far = np.sqrt((u - nipple[0]) ** 2 + (s - nipple[1]) ** 2)  # from the nipple, (sweep, 1, lateral)
    surfaces = layers.depths(u + 6 * field.plane(12), s + 6 * field.plane(12), nipple)
    bumps = 1.3 * field.plane(9), 0.8 * field.plane(14), 0.7 * field.plane(25)
    front, back, chest = (surface.astype(np.float32) + bump for surface, bump in zip(surfaces, bumps, strict=True))
    front = np.minimum(front, back)

    texture = field(3.0, 1.3, 3.0)
    # Fat, and in it the septa: sheets where a field crosses 0.
    echo = FAT + 1.5 * texture
    sheets = np.minimum(abs(field(6, 3.5, 6)), abs(field(9, 6, 9)))
    septa = np.clip(1.3 - sheets / (0.03 + 0.07 * abs(texture)), 0, 1)
    echo += septa * (SEPTUM - echo)
    # Gland, with lobules of fat in it.
    inside = _step(d - front, step) * _step(back - d, step)
    lobules = field(6, 2.6, 6) - np.float32(_quantile(DENSE_PARTS[layers.density]))
    dense = inside * np.clip(0.5 - 3 * lobules, 0, 1)
    echo += inside * (LOBULE + texture - echo) * (1 - septa)
    echo += dense * (2.2 * texture - echo)
    ducts = vessel_parts(frame.grid(), _ducts(spec, rng)).T
    echo += ducts * inside * (DUCT - echo)
    _islands(echo, (u, d, s), layers.skin + layers.fat, float(back.mean()), rng)
    loss = REST + DENSE * dense

    # Muscle between two fasciae, striped along its fibres.
    deep = d - (chest - layers.muscle)
    fibres = (1 + 0.5 * texture) * np.sin(2 * np.pi * (deep + 1.4 * field(10, 2.5, 10)) / 1.7)
    muscle = _step(deep, step)
    echo += muscle * (MUSCLE + 4 * fibres - echo)
    for surface in (deep, d - chest + 0.4):
        echo += np.clip(1.2 - abs(surface) / 0.45, 0, 1) * (FASCIA + 2 * texture - echo)
    _chest_wall(echo, loss, (u, s + 2.5 * field.plane(22)), d - chest, step, rng, texture)

    skin = d - layers.skin
    echo += _step(-skin, step) * (SKIN - 5 + texture - echo)
    echo += np.clip(1.3 - abs(skin) / 0.3, 0, 1) * (SKIN - echo)
    echo += np.clip(1.3 - d / 0.35, 0, 1) * (SKIN + 5 - echo)

    for lesion, seed in zip(spec.lesions, shapes, strict=True):
        if (found := coverage(lesion, frame, seed)) is not None:
            box, part = found
            echo[box] += part * (np.float32(lesion.echo_db) + 1.5 * texture[box] - echo[box])
            # The same loss for every beam's millimetre: least where the lesion is thin.
            loss[box] += part * np.float32(lesion.behind_db * lesion.stretch**2 / lesion.diameter_mm - REST)
    _shadows(loss, spec, (u, d, s), far, rng, field)
    loss *= np.float32(step)
    np.cumsum(loss, axis=1, out=loss)
    return echo, loss


def _step(depth: np.ndarray, step: float) -> np.ndarray:
    """0 to 1 across the surface where `depth` is 0, over two voxels."""
    return np.clip(depth / np.float32(2 * step) + np.float32(0.5), 0, 1)


def _quantile(share: float) -> float:
    """Where a standard normal field exceeds a level in 1 − `share` of the places."""
    return float(norm.ppf(share))


def _islands(echo: np.ndarray, axes: tuple[np.ndarray, ...], top: float, bottom: float,
             rng: np.random.Generator) -> None:
    """Flat islands of darker fat with soft edges, in volumes with and without lesions; changes `echo` in place."""
    u, d, s = axes
    for _ in range(int(rng.poisson(7))):
        wide, tall, level = rng.uniform(2.5, 8), rng.uniform(1.2, 3), rng.uniform(-22, -16)
        middle = rng.uniform(u.min(), u.max()), rng.uniform(top, bottom), rng.uniform(s.min(), s.max())
        slope = rng.uniform(-0.15, 0.15)
        square = ((u - middle[0]) / wide) ** 2 + ((s - middle[2]) / wide) ** 2
        square = square + ((d - middle[1] - slope * (u - middle[0])) / tall) ** 2
        echo += np.exp(-(square**2)).astype(np.float32) * (np.float32(level) - echo)


def _chest_wall(echo: np.ndarray, loss: np.ndarray, place: tuple[np.ndarray, np.ndarray], behind: np.ndarray,
                step: float, rng: np.random.Generator, texture: np.ndarray) -> None:
    """Ribs with their shadows, and between them the pleura with what it throws back; changes the maps in place."""
    u, s = place
    slant = rng.uniform(-0.25, 0.25) + rng.uniform(0.0005, 0.002) * u
    along = (s + slant * u + rng.uniform(0, RIB_PERIOD)) % RIB_PERIOD - RIB_PERIOD / 2
    radius = np.sqrt((along / RIB_HALF[0]) ** 2 + ((behind - 1 - RIB_HALF[1]) / RIB_HALF[1]) ** 2)
    surface = (1 - radius) * RIB_HALF[1]  # mm below the rib's surface
    lung = behind - 6
    beyond = _step(lung, step)
    echo += beyond * (LUNG + 3 * np.cos(2 * np.pi * lung / 3.1) - 0.6 * np.maximum(lung, 0) + 2 * texture - echo)
    echo += np.clip(1.2 - abs(lung) / 0.5, 0, 1) * (PLEURA - echo)
    loss += beyond * np.float32(0.6)
    bone = _step(surface, step)
    echo += bone * (BONE - echo)
    front = np.clip(1.3 - abs(surface) / 0.5, 0, 1) * (behind < 1 + RIB_HALF[1])
    echo += front * (RIB - echo)
    loss += bone * np.float32(MARROW)


def _shadows(loss: np.ndarray, spec: VolumeSpec, axes: tuple[np.ndarray, ...], far: np.ndarray,
             rng: np.random.Generator, field: _Fields) -> None:
    """What darkens healthy tissue: the nipple, ligaments that lie along the beam, edges without contact."""
    u, d, s = axes
    ragged = far * (1 + 0.15 * field.plane(3)) + 0.6 * field.plane(1.2)
    loss += np.clip((rng.uniform(5, 7) - ragged) / 3, 0, 1) * (d < 6) * np.float32(rng.uniform(1.5, 4))
    half = abs(u[0, 0, 0]), abs(s[0, 0, 0])
    for _ in range(int(rng.poisson(5))):
        middle = rng.uniform(-1, 1, 2) * half
        turn, length, width = rng.uniform(0, np.pi), rng.uniform(4, 12), rng.uniform(0.8, 2)
        across = (u - middle[0]) * np.cos(turn) + (s - middle[1]) * np.sin(turn)
        along = (s - middle[1]) * np.cos(turn) - (u - middle[0]) * np.sin(turn)
        sheet = np.exp(-((across / width) ** 2) - (along / length) ** 4).astype(np.float32)
        top = rng.uniform(spec.layers.skin + 2, spec.layers.skin + spec.layers.fat + 6)
        loss += sheet * (abs(d - top) < 1.5) * np.float32(rng.uniform(2, 5))
    edge = np.maximum(abs(u) / half[0], abs(s) / half[1]) + 0.05 * field.plane(8)
    loss += np.clip((edge - rng.uniform(0.9, 1.15)) / 0.06, 0, 1) * (d < 2) * np.float32(12)


def _ducts(spec: VolumeSpec, rng: np.random.Generator) -> list[Tube]:
    """Dark tubes that run from below the nipple outwards and down, as straight pieces in (u, d, s)."""
    tubes: list[Tube] = []
    for _ in range(int(rng.integers(5, 10))):
        turn, fall, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35), rng.uniform(0.5, 1.2)
        reach = np.linspace(3, rng.uniform(14, 30), 7)
        bent = turn + 0.25 * np.sin(reach / 6 + rng.uniform(0, 6))
        path = np.stack([spec.nipple[0] + reach * np.cos(bent), spec.layers.skin + spec.layers.fat + 1 + fall * reach,
                         spec.nipple[1] + reach * np.sin(bent)], axis=1)
        tubes += [(path[i : i + 2], radius * (1 - 0.08 * i)) for i in range(6)]
    return tubes


class _Fields:
    """Gaussian random fields with mean 0 and sd 1, made on a coarse lattice and interpolated."""

    def __init__(self, frame: Frame, rng: np.random.Generator) -> None:
        self.frame = frame
        self.rng = rng

    def __call__(self, *size: float) -> np.ndarray:
        """A field in the volume; `size` is the sd in mm of the smoothing along (u, d, s)."""
        return self._field(self.frame.shape[::-1], self.frame.spacing[::-1], size[::-1])

    def plane(self, size: float) -> np.ndarray:
        """A field of u and s alone, (sweep, 1, lateral)."""
        steps = self.frame.spacing[::-1]
        return self._field((self.frame.shape[2], 1, self.frame.shape[0]), steps, (size, 1e3, size))

    def _field(self, shape: tuple[int, ...], steps: tuple[float, ...], size: tuple[float, ...]) -> np.ndarray:
        lattice = [max(x / 2, step) for x, step in zip(size, steps, strict=True)]
        counts = [int(np.ceil(n * step / at)) + 2 for n, step, at in zip(shape, steps, lattice, strict=True)]
        coarse = self.rng.standard_normal(counts, np.float32)
        for axis, (x, at) in enumerate(zip(size, lattice, strict=True)):
            coarse = ndimage.gaussian_filter1d(coarse, x / at, axis=axis, mode="wrap")
        coarse = (coarse - coarse.mean()) / (coarse.std() + 1e-6)
        return lerp(coarse, [np.arange(n) * (step / at) for n, step, at in zip(shape, steps, lattice, strict=True)])
