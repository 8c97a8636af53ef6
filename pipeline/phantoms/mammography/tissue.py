"""Tissue of one synthetic mammogram: outline, skin, fat, gland of a density category, and the pectoral muscle.

Everything is laid out with the chest wall at the left edge: `rows` run from lateral (CC) or the axilla (MLO) down,
`columns` from the chest wall to the nipple, both in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from pipeline.phantoms.mammography.specs import GLAND, Anatomy

FAT, SUBCUTANEOUS, SKIN, PARENCHYMA, THREADS, MUSCLE = 760.0, 400.0, 480.0, 700.0, 160.0, 680.0  # grey values


@dataclass(frozen=True)
class Frame:
    """A detector's matrix (rows, columns) and pixel size in mm."""

    shape: tuple[int, int]
    spacing: float

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres in mm: rows `(R, 1)` and columns `(1, C)`, float32."""
        rows, columns = ((np.arange(n, dtype=np.float32) + 0.5) * self.spacing for n in self.shape)
        return rows[:, None], columns[None, :]


@dataclass(frozen=True)
class Outline:
    """Where the skin lies in one view.

    Attributes:
        view: CC or MLO.
        nipple: its row in mm.
        depth: its column in mm.
        reach: rows in mm from the nipple to the upper and to the lower end of the breast.
        axilla: column of the skin at the upper edge in mm; 0 in CC.
    """

    view: str
    nipple: float
    depth: float
    reach: tuple[float, float]
    axilla: float = 0.0

    def skin(self, rows: np.ndarray) -> np.ndarray:
        """Column of the skin in mm at each row; 0 or less where no breast is."""
        part = np.abs(rows - self.nipple) / np.where(rows < self.nipple, *self.reach)
        column = self.depth * np.clip(1 - part**2, 0, None) ** 0.62
        if self.axilla:
            arm = self.axilla * np.clip(1 - 0.75 * rows / (self.nipple + 0.6 * self.reach[1]), 0, None)
            column = (column**7 + arm**7 * (part < 1)) ** (1 / 7)
            column = np.where((rows < self.nipple) & (part >= 1), arm, column)
        return column + 3.5 * np.exp(-(((rows - self.nipple) / 5.5) ** 2))

    def place(self, depth: float, lateral: float, upper: float) -> tuple[float, float]:
        """Row and column in mm of a place in the breast; its distance from the chest wall is the same in both views."""
        column = depth * self.depth
        half = (1 - depth ** (1 / 0.62)) ** 0.5  # of the height that is left at this column
        toward = lateral if self.view == "CC" else 0.85 * upper + 0.15 * lateral
        reach = self.reach[0] if toward > 0 else self.reach[1]
        return self.nipple - 0.85 * toward * half * reach, column


def outline_of(anatomy: Anatomy, view: str, frame: Frame, rng: np.random.Generator) -> Outline:
    """Position a breast on the detector; `rng` moves it by some mm, as every exam does."""
    height = frame.shape[0] * frame.spacing
    widest = frame.shape[1] * frame.spacing
    depth = min(anatomy.depth * rng.uniform(0.97, 1.03), 0.88 * widest)
    shift = rng.normal(0, 4)
    if view == "CC":
        half = min(anatomy.half_height, 0.46 * height)
        return Outline(view, height / 2 + shift, depth, (half * (1 + anatomy.bend), half * (1 - anatomy.bend)))
    nipple = 0.56 * height + shift
    lower = min(0.85 * anatomy.half_height, 0.95 * (height - nipple))
    return Outline(view, nipple, depth, (0.9 * nipple, lower), anatomy.axilla * depth)


def noise(frame: Frame, slope: float, longest: float, rng: np.random.Generator, shortest: float = 0.0) -> np.ndarray:
    """A Gaussian field whose power falls as frequency to the `-slope`, mean 0, standard deviation 1, float32.

    Mammograms have a slope of about 3.

    Args:
        frame: the grid.
        slope: of the power spectrum.
        longest, shortest: mm; structures are no larger, and no smaller.
        rng: its source.
    """
    white = rng.standard_normal(frame.shape, np.float32)
    vertical = np.fft.fftfreq(frame.shape[0], frame.spacing)[:, None].astype(np.float32)
    horizontal = np.fft.rfftfreq(frame.shape[1], frame.spacing)[None, :].astype(np.float32)
    power = vertical**2 + horizontal**2
    spectrum = fft.rfft2(white) * (power + 1 / longest**2) ** (-slope / 4) * np.exp(-power * shortest**2)
    field = fft.irfft2(spectrum, frame.shape)
    return (field - field.mean()) / field.std()


def tissue(anatomy: Anatomy, outline: Outline, frame: Frame, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Render one view without findings.

    Args:
        anatomy: the breast.
        outline: how it lies in this view.
        frame: the detector.
        rng: of the texture.

    Returns:
        Grey values `(rows, columns)`, float32, and the breast's mask, bool.
    """
    rows, columns = frame.axes()
    mask = columns < outline.skin(rows)
    deep = ndimage.distance_transform_edt(mask).astype(np.float32) * frame.spacing  # mm below the skin
    coarse, fine = noise(frame, 3.2, 45, rng, 2.5), noise(frame, 2.8, 12, rng, 1.5)
    image = SUBCUTANEOUS + (FAT - SUBCUTANEOUS) * (1 - np.exp(-deep / 9)) + 70 * coarse + 25 * fine

    middle = outline.nipple + 0.35 * (outline.reach[1] - outline.reach[0]) * (outline.view == "CC")
    spread = 0.62 * min(outline.reach)
    prior = -(((columns - 0.55 * outline.depth) / (0.5 * outline.depth)) ** 2) - ((rows - middle) / spread) ** 2
    strands = _strands(outline, frame, rng)
    likely = prior + 0.8 * coarse + 0.1 * fine + 0.14 * strands - 6 * np.exp(-deep / 3.5)
    gland = _step((likely - np.quantile(likely[mask], 1 - GLAND[anatomy.density])) / 0.35)
    image += anatomy.contrast * PARENCHYMA * gland * (1 + 0.07 * fine + 0.2 * coarse + 0.1 * strands)
    threads = np.exp(-np.abs(noise(frame, 3.4, 22, rng, 1.2)) / 0.1) + 0.8 * np.clip(strands - 0.6, 0, None)
    image += THREADS * threads * (0.4 + 0.3 * coarse.clip(-1, 1)) * (1 - np.exp(-deep / 5))
    width = max(1.1, frame.spacing)
    image += SKIN * np.exp(-(((deep - width) / width) ** 2)) * (1 + 0.2 * coarse)
    if outline.view == "MLO":
        image += _muscle(anatomy, outline, frame, rng)
    return image * (1 - 0.6 * np.exp(-deep / 1.2)), mask


def _step(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _strands(outline: Outline, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """Ducts and ligaments that run to the nipple: noise in polar coordinates around it, about -2 to 2."""
    rows, columns = frame.axes()
    texture = ndimage.gaussian_filter(rng.standard_normal((420, 60), np.float32), (2.2, 2.0), mode="wrap")
    texture /= texture.std()
    down, back = rows - outline.nipple, 1.12 * outline.depth - columns
    angle = (np.arctan2(down, back) / (2 * np.pi) % 1) * 420
    radius = np.hypot(down, back) / 5.0
    bent = angle + 6 * np.sin(radius / 4 + rng.uniform(0, 6))
    return ndimage.map_coordinates(texture, [bent, radius], order=1, mode="grid-wrap")


def _muscle(anatomy: Anatomy, outline: Outline, frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """The pectoral muscle: a triangle in the upper corner at the chest wall, with fibres along its edge."""
    rows, columns = frame.axes()
    width, length = anatomy.muscle[0] * outline.axilla, anatomy.muscle[1]
    edge = width * np.clip(1 - rows / length, 0, None) ** 0.85 * (1 + 0.06 * np.sin(rows / 19 + rng.uniform(0, 6)))
    fibres = ndimage.gaussian_filter1d(rng.standard_normal(400).astype(np.float32), 1.2) * 1.6
    across = (columns + rows * width / length) / 1.4
    lines = np.interp(across, np.arange(400), fibres).astype(np.float32)
    inside = _step((edge - columns - 1.5) / 0.9)
    return inside * (MUSCLE * (0.75 + 0.25 * rows.clip(0, length)[::-1] / length) + 55 * lines)
