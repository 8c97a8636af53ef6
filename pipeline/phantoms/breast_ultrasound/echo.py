"""From tissues to what the scanner shows: speckle from random scatterers, envelope, log compression.

Each voxel scatters with a complex Gaussian amplitude whose sd is the tissue's strength (many scatterers at random
places). The beam's point spread function, Gaussian and longest along the sweep, adds up neighbours with their phases;
it widens sideways away from the focus. The magnitude of that sum is Rayleigh distributed in even tissue: speckle. What
the beam lost on its way and the receiver's noise follow, then 20 log₁₀ is shown over the scanner's range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.phantoms.breast_ultrasound.tissue import Frame, lerp

_SLAB = 32  # sweep positions at a time


@dataclass(frozen=True)
class Beam:
    """The scanner: standard deviations of its point spread function in mm, and what it shows.

    Attributes:
        axial: along the depth.
        lateral: at the focus, and far from it.
        sweep: along the sweep (the slice's thickness).
        focus_mm: depth of the focus.
        focus_range: mm from the focus at which the width lies in the middle between the two.
        noise_db: receiver's noise at the focus, against gland; it grows with depth by the gain.
        top_db: what is shown white, against gland.
        range_db: from black to white.
    """

    axial: float
    lateral: tuple[float, float]
    sweep: float
    focus_mm: float = 18.0
    focus_range: float = 14.0
    noise_db: float = -48.0
    top_db: float = 20.0
    range_db: float = 56.0


def acquire(echo: np.ndarray, loss: np.ndarray, tissue: Frame, image: Frame, beam: Beam, gain_db: float,
            rng: np.random.Generator) -> np.ndarray:
    """The image of a volume.

    Args:
        echo, loss: dB, (sweep, depth, lateral) on `tissue`.
        tissue: their grid.
        image: the image's grid.
        beam: the scanner.
        gain_db: how much brighter than usual it was set.
        rng: draws scatterers and noise; every sweep position has a stream of its own, so that the result does not
            depend on how many are worked on at a time.

    Returns:
        uint8, (sweep, depth, lateral) on `image`.
    """
    lateral, depth, sweep = image.shape
    sigma = [s / step for s, step in zip((beam.axial, beam.sweep), image.spacing[1:], strict=True)]
    halo = int(np.ceil(3 * sigma[1]))
    keys = rng.integers(2**63, size=(sweep + 2 * halo, 2))
    places = [(np.arange(n) + 0.5) * (step / coarse) - 0.5
              for n, step, coarse in zip(image.shape, image.spacing, tissue.spacing, strict=True)][::-1]
    blend, width = _focus(image, beam)
    noise_db = beam.noise_db + 0.25 * ((np.arange(depth) + 0.5) * image.spacing[1] - beam.focus_mm)
    noise = (10 ** (noise_db / 20)).astype(np.float32)[None, :, None]
    shown = np.empty((sweep, depth, lateral), np.uint8)
    for start in range(0, sweep, _SLAB):
        stop = min(start + _SLAB, sweep)
        at = np.clip(np.arange(start - halo, stop + halo), 0, sweep - 1)
        strength = _linear(lerp(echo, [places[0][at], *places[1:]]))
        parts = []
        for channel in range(2):
            field = np.stack([np.random.default_rng(key).standard_normal((depth, lateral), np.float32)
                              for key in keys[start : stop + 2 * halo, channel]])
            field *= strength
            field = _smooth(field, sigma[0], 1)
            field = _smooth(field, sigma[1], 0)[halo : len(field) - halo]
            near = _smooth(field, width[0], 2)
            near += blend[0] * (_smooth(field, width[1], 2) - near)
            near *= blend[1]
            parts.append(near)
        passed = _linear(-lerp(loss, [places[0][start:stop], *places[1:]]))
        for i in range(start, stop):
            own = np.random.default_rng([int(keys[i + halo, 0]), 1])
            for part in parts:
                plane = part[i - start]
                plane *= passed[i - start]
                plane += noise[0] * own.standard_normal((depth, lateral), np.float32)
            envelope = np.hypot(parts[0][i - start], parts[1][i - start])
            level = 20 * np.log10(np.maximum(envelope, 1e-9)) + np.float32(gain_db - beam.top_db)
            shown[i] = np.clip(level * (255 / beam.range_db) + 255.5, 0, 255)
    return shown


def _focus(image: Frame, beam: Beam) -> tuple[tuple[np.ndarray, np.ndarray], tuple[float, float]]:
    """How much of the wide beam there is at each depth, what keeps the energy, and both widths in voxels."""
    depth = (np.arange(image.shape[1]) + 0.5) * image.spacing[1]
    away = ((depth - beam.focus_mm) / beam.focus_range) ** 2
    share = away / (1 + away)
    narrow, wide = (w / image.spacing[0] for w in beam.lateral)
    both = [_kernel(width, 4 * wide) for width in (narrow, wide)]
    scale = [float(np.sqrt((k**2).sum())) for k in both]
    overlap = float((both[0] * both[1]).sum()) / (scale[0] * scale[1])
    energy = (1 - share) ** 2 + share**2 + 2 * share * (1 - share) * overlap
    # `_smooth` gives both beams unit energy.
    return ((share.astype(np.float32)[None, :, None], (1 / np.sqrt(energy)).astype(np.float32)[None, :, None]),
            (narrow, wide))


def _kernel(sigma: float, reach: float | None = None) -> np.ndarray:
    radius = int(np.ceil(3 * sigma if reach is None else reach))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-3)) ** 2)
    return kernel / kernel.sum()


def _smooth(field: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """A Gaussian along one axis with unit energy: white noise keeps its variance."""
    kernel = _kernel(sigma)
    return ndimage.correlate1d(field, kernel / np.sqrt((kernel**2).sum()), axis=axis, mode="reflect")


def _linear(level: np.ndarray) -> np.ndarray:
    """Decibels to amplitude, in place."""
    level *= np.float32(np.log(10) / 20)
    return np.exp(level, out=level)
