"""The breast phantom's tissues.

Smooth fields (depth below the skin, depth behind the chest wall, textures, coil) are made once on a 3 mm
lattice of the patient and interpolated to an image's grid; edges are cut there, so that every matrix
shows the same anatomy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from pipeline.phantoms.breast_mri.shapes import Grid, Tube, vessel_parts
from pipeline.phantoms.breast_mri.specs import SIDES, Breast, ExamSpec

SKIN_MM = 2.2
MUSCLE_MM = 11.0  # chest wall in front of ribs and lungs
DENSE_PART = {"a": (0.04, 0.1), "b": (0.1, 0.25), "c": (0.28, 0.5), "d": (0.5, 0.75)}  # of a breast
# Signals relative to fat's T1; neither image suppresses fat. Blood flows and is dark before contrast.
TISSUES = ("fat", "fibroglandular", "skin", "muscle", "blood", "lung", "marrow")
T1 = dict(zip(TISSUES, (1.0, 0.46, 0.5, 0.38, 0.32, 0.06, 0.7), strict=True))
T2 = dict(zip(TISSUES, (0.8, 0.5, 0.35, 0.18, 0.08, 0.05, 0.5), strict=True))

_STEP = 3.0  # mm, of the lattice
_ORIGIN = np.array([-180.0, -172.0, -78.0])  # (u, y, z) of its first point in mm
_LATTICE = (120, 120, 54)  # lengths that Fourier transforms are fast at

_FRONT = (-70.0, 250.0)  # y in mm: where dense tissue and septa lie
_BACK = (-250.0, 5.0)  # where the thorax lies

Points = Sequence[np.ndarray]  # (u, y, z) in mm, shapes that broadcast


@dataclass
class Fields:
    """Smooth fields on the lattice, float32; depths in mm."""

    thorax: dict[str, np.ndarray]  # "t1", "t2": signals of what lies behind the chest wall
    depth: np.ndarray  # below the skin
    chest: np.ndarray  # behind the front of the chest wall
    dense: np.ndarray  # fibroglandular where above 0
    texture: np.ndarray  # standard normal
    coil: np.ndarray  # sensitivity
    blood: np.ndarray  # heart and aorta, 0 to 1


def lattice_fields(spec: ExamSpec, rng: np.random.Generator) -> Fields:
    """Make the fields of one exam.

    Args:
        spec: gives the anatomy and the seed of the breasts' texture, which a patient keeps from exam to exam.
        rng: draws the coil's sensitivity.
    """
    axes = [_ORIGIN[i] + _STEP * np.arange(_LATTICE[i]) for i in range(3)]
    points = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
    anatomy = spec.anatomy
    own = np.random.default_rng([spec.seed, spec.patient, 3])
    chest = np.broadcast_to(anatomy.chest_depth(points), _LATTICE)
    # A smooth maximum rounds the folds where breasts and chest meet.
    outlines = [_with_nipple(anatomy.breasts[side], points) for side in SIDES]
    outlines.append(chest + anatomy.subcutaneous_mm)
    depth = 4 * np.log(sum(np.exp(outline / 4) for outline in outlines)) + _noise(own, 20)

    texture = _noise(own, 6)
    radius = np.minimum(*(_radius(anatomy.breasts[side], points) for side in SIDES))
    dense = 0.6 * _noise(own, 12) + 0.7 * _noise(own, 4) - 0.9 * ((radius - 0.5) / 0.35) ** 2
    dense -= 3 * np.maximum(1 - (depth - 4) / 6, 0) + 3 * np.maximum(1 + (chest + 2) / 5, 0)
    inside = dense[(radius < 1) & (depth > 5) & (chest < -4)]
    dense -= np.quantile(inside, 1 - own.uniform(*DENSE_PART[anatomy.density]))

    coil = np.exp(0.12 * _noise(rng, 55)) * (0.5 + 0.5 / (1 + np.exp(-(points[1] + 45) / 25)))
    thorax, blood = _thorax(points, chest)
    fields = [np.ascontiguousarray(f, np.float32) for f in (depth, chest, dense, texture, coil, blood)]
    return Fields(thorax, *fields)


def t1_maps(spec: ExamSpec, fields: Fields, grid: Grid, pieces: list[Tube], background: float,
            blood: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The T1 image before contrast and what contrast adds to it.

    Args:
        spec: the exam.
        fields: its fields.
        grid: of the phases.
        pieces: the vessels, from `tubes`.
        background: mean relative enhancement of fibroglandular tissue.
        blood: mean enhancement of blood, in units of fat's T1.

    Returns:
        The image, the map of slow and the map of fast enhancement (mean over the four phases), and the coil's
        sensitivity; each float32 (i, j, k) in units of fat's T1.
    """
    sample = _Sampler(spec, grid)
    pre, body, skin, inside, dense, texture = _tissues(sample, fields, T1, fields.thorax["t1"])
    parenchyma = T1["fibroglandular"] * background * np.maximum(1 + 0.5 * texture, 0.1)
    slow = 0.03 + dense * (parenchyma - 0.03)  # fat enhances a little
    slow += inside * (0.2 * pre - slow)
    slow += skin * (0.12 - slow)
    slow *= body
    fast = sample(fields.blood, rows=_BACK, outside=0)
    fast *= np.float32(blood)
    tree = vessel_parts(grid, pieces)
    tree *= body
    pre += tree * (T1["blood"] - pre)
    slow *= 1 - tree
    fast += tree * (blood - fast)
    return pre, slow, fast, sample(fields.coil)


def t2_map(spec: ExamSpec, fields: Fields, grid: Grid, pieces: list[Tube]) -> tuple[np.ndarray, np.ndarray]:
    """The T2 image and the coil's sensitivity, float32 (i, j, k)."""
    sample = _Sampler(spec, grid)
    image, body, *_ = _tissues(sample, fields, T2, fields.thorax["t2"])
    tree = vessel_parts(grid, pieces)
    tree *= body
    image += tree * (T2["blood"] - image)
    return image, sample(fields.coil)


def moved(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Shift an image by (i, j, k) voxels, linearly interpolated, edges repeated."""
    for axis, distance in enumerate(shift):
        if distance:
            whole = int(np.floor(distance))
            part = np.float32(distance - whole)
            index = np.arange(image.shape[axis]) - whole
            last = image.shape[axis] - 1
            near, far = (np.take(image, np.clip(index - i, 0, last), axis) for i in (0, 1))
            image = near + part * (far - near)
    return image


def acquired(image: np.ndarray, gain: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """What the scanner stores: magnitude of a signal with complex noise (Rician), times a gain, int16.

    Args:
        image: float32, in units of fat's T1.
        gain: stored value of fat.
        noise: sd of each channel, in the units of the image.
        rng: draws the noise.
    """
    real = rng.standard_normal(image.shape, np.float32)
    real *= np.float32(noise)
    real += image
    other = rng.standard_normal(image.shape, np.float32)
    other *= np.float32(noise)
    np.hypot(real, other, out=real)
    real *= np.float32(gain)
    return np.rint(real, out=real).clip(0, 32767).astype(np.int16)


class _Sampler:
    """Interpolates fields of the lattice to a grid."""

    def __init__(self, spec: ExamSpec, grid: Grid) -> None:
        self.grid = grid
        self.matrix = grid.affine[:3, :3] / _STEP
        self.offset = (grid.affine[:3, 3] - [spec.midline_mm, 0, 0] - _ORIGIN) / _STEP

    def __call__(self, field: np.ndarray, rows: tuple[float, float] | None = None,
                 outside: float = 0.0) -> np.ndarray:
        """The field at every voxel; with `rows`, a range of y in mm, only there and `outside` elsewhere."""
        shape, last = self.grid.shape, self.grid.shape[1] - 1
        first, end = 0, shape[1]
        if rows is not None:  # j runs to posterior; the grid is turned by little, so that a margin will do
            middle = [self.grid.affine[1] @ [shape[0] / 2, j, shape[2] / 2, 1] for j in (0, last)]
            first, end = np.interp([-rows[1] - 10, 10 - rows[0]], -np.array(middle), [0, last]).astype(int)
            end += 1
        result = np.full(shape, outside, np.float32)
        offset = self.offset + self.matrix[:, 1] * first
        ndimage.affine_transform(field, self.matrix, offset, (shape[0], end - first, shape[2]),
                                 result[:, first:end], order=1, mode="nearest")
        return result

    def cut(self, depth: np.ndarray, soft: float = 1.0) -> np.ndarray:
        """0 to 1 across the surface where `depth` is 0, over `soft` voxels."""
        return np.clip(depth / np.float32(soft * self.grid.spacing[0]) + np.float32(0.5), 0, 1)


def _tissues(sample: _Sampler, fields: Fields, signal: dict[str, float],
             thorax: np.ndarray) -> tuple[np.ndarray, ...]:
    """The image without vessels; the parts of voxels that are body, skin, thorax and dense; the texture."""
    depth, chest = sample(fields.depth), sample(fields.chest)
    texture = sample(fields.texture, rows=_FRONT, outside=1)
    body = sample.cut(depth)
    skin = body * (1 - sample.cut(depth - SKIN_MM))
    inside = sample.cut(chest)
    deep = sample.cut(chest - MUSCLE_MM, 2)
    dense = sample(fields.dense, rows=_FRONT, outside=-1)
    dense = np.clip(dense * 3 + 0.5, 0, 1) * (1 - inside)
    # Septa through the fat: sheets where the texture crosses 0.
    strands = np.maximum(dense, 0.5 * np.clip(1 - abs(texture) / 0.12, 0, 1))
    image = signal["fat"] + strands * (signal["fibroglandular"] - signal["fat"])
    wall = signal["muscle"] + deep * (sample(thorax, rows=_BACK, outside=0) - signal["muscle"])
    image += inside * (wall - image)
    image += skin * (signal["skin"] - image)
    image *= body
    return image, body, skin, inside, dense, texture


def _thorax(points: Points, chest: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Signals behind the chest wall (ribs, lungs, heart, liver, spine), and the part that is blood."""

    def ball(center: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
        radius = np.sqrt(sum(((p - c) / a) ** 2 for p, c, a in zip(points, center, axes, strict=True)))
        return np.clip((1 - radius) * min(axes) / _STEP + 0.5, 0, 1)

    heart = ball((-28, -64, -5), (50, 40, 62))
    blood = np.maximum(heart, ball((-18, -138, 0), (12, 12, 1e4)))
    liver = ball((75, -95, -100), (70, 70, 75))
    lungs = np.maximum(ball((-80, -108, 0), (58, 82, 1e4)), ball((80, -108, 0), (58, 82, 1e4)))
    lungs = lungs * (1 - blood) * (1 - liver) * np.clip((chest - 20) / _STEP + 0.5, 0, 1)
    slanted = np.sin((points[2] + 0.35 * abs(points[0])) * (2 * np.pi / 26))
    bones = np.clip(2 * slanted, 0, 1) * np.clip(1.5 - abs(chest - 15) / 4, 0, 1)
    bones = np.maximum(bones, ball((0, -165, 0), (22, 20, 1e4)))
    thorax = {}
    for name, signal in (("t1", T1), ("t2", T2)):
        image = np.full(_LATTICE, signal["muscle"], np.float32)
        for part, tissue in ((bones, "marrow"), (lungs, "lung"), (blood, "blood")):
            image += part * (signal[tissue] - image)
        image += liver * (1 - lungs) * (1 - blood) * 0.08
        thorax[name] = image.astype(np.float32)
    return thorax, blood


def _radius(breast: Breast, points: Points) -> np.ndarray:
    """Distance from the middle of the breast's base, 1 on its surface."""
    scaled = ((p - c) / a for p, c, a in zip(points, breast.center, breast.axes, strict=True))
    return np.sqrt(sum(part**2 for part in scaled))


def _with_nipple(breast: Breast, points: Points) -> np.ndarray:
    tip = (breast.center[0], breast.center[1] + breast.axes[1], breast.center[2])
    square = sum((p - t) ** 2 for p, t in zip(points, tip, strict=True))
    return breast.depth(points) + 5 * np.exp(-square / (2 * 4.5**2))


def _noise(rng: np.random.Generator, sigma_mm: float) -> np.ndarray:
    """A Gaussian random field on the lattice, mean 0 and sd 1, smoothed by a Gaussian of `sigma_mm`."""
    spectrum = fft.rfftn(rng.standard_normal(_LATTICE, np.float32))
    for axis, size in enumerate(_LATTICE):
        frequency = fft.rfftfreq(size) if axis == 2 else fft.fftfreq(size)
        weight = np.exp(-2 * (np.pi * frequency * sigma_mm / _STEP) ** 2).astype(np.float32)
        spectrum *= weight.reshape([-1 if i == axis else 1 for i in range(3)])
    spectrum[0, 0, 0] = 0
    field = fft.irfftn(spectrum, _LATTICE)
    return field / field.std()
