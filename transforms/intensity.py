"""Intensity: where tissue ends and air begins, and a scale that keeps contrast kinetics."""

from __future__ import annotations

import numpy as np

from transforms.errors import InputError

_BINS = 256
CONSTANT = "is constant, nothing can be seen in it; export it again"


def otsu(values: np.ndarray) -> float:
    """Otsu's threshold: the cut that makes the variance between the two sides largest.

    Args:
        values: any shape, finite.
    """
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # constant, but for rounding
        return high
    count, edges = np.histogram(values, _BINS, (low, high))
    center = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(count).astype(float)
    above = below[-1] - below
    mass = np.cumsum(count * center)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(edges[1:][int(np.nanargmax(np.where(above > 0, between, np.nan)))])


def air_threshold(values: np.ndarray) -> float:
    """The intensity that separates air from tissue in an MR image.

    One Otsu cut falls between fat and the rest where fat is bright (no fat saturation), so the part below it is
    cut again; where there was only air below it, a quarter of the first cut stays.

    Args:
        values: any shape, finite, not negative.
    """
    first = otsu(values)
    rest = values[values < first] if first < values.max() else values[:0]
    return max(otsu(rest), first / 4) if rest.size else first


def tissue_scale(values: np.ndarray) -> float:
    """Mean intensity of the voxels above `air_threshold`: what one unit means after normalisation.

    Raises:
        InputError: no tissue, or values that are not finite.
    """
    if not np.isfinite(values).all():
        raise InputError("holds NaN or infinite voxels; export it again", code="non_finite")
    tissue = values[values > air_threshold(values)]
    if not tissue.size or tissue.mean() <= 0:
        raise InputError(CONSTANT, code="constant_image")
    return float(tissue.mean())
