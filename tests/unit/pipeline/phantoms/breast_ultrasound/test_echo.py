"""Speckle as physics has it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.phantoms.breast_ultrasound.echo import Beam, acquire
from pipeline.phantoms.breast_ultrasound.tissue import Frame


def test_speckle_of_even_tissue_is_rayleigh_and_longest_along_the_sweep():
    frame = Frame((100, 200, 40), (0.5, 0.2, 0.6))
    beam = Beam(0.2, (0.5, 0.9), 1.2, noise_db=-200)
    flat = np.zeros(frame.shape[::-1], np.float32)
    image = acquire(flat, flat, frame, frame, beam, 0.0, np.random.default_rng(0))
    level = image.astype(float) * beam.range_db / 255
    inside = level[:, 20:-20, 20:-20]
    assert inside.std() == pytest.approx(20 / np.log(10) * np.pi / np.sqrt(24), rel=0.05)  # 5.57 dB
    by_depth = inside.mean(axis=(0, 2)).reshape(8, 20).mean(axis=1)
    assert np.ptp(by_depth) < 0.7  # the beam keeps its energy in and out of focus

    def reach(axis):
        """Distance in mm at which the amplitudes' correlation has fallen to one half."""
        moved = np.moveaxis(10 ** (inside / 20), axis, 0)
        moved = moved - moved.mean()
        lags = [np.mean(moved[k:] * moved[: len(moved) - k]) for k in range(12)]
        spacing = frame.spacing[::-1][axis]
        return np.interp(0.5, (np.array(lags) / lags[0])[::-1], np.arange(12)[::-1] * spacing)

    along_sweep, along_depth, sideways = (reach(axis) for axis in range(3))
    assert along_sweep > 1.2 * sideways > 1.5 * along_depth
    wide, focused = (10 ** (level[:, rows] / 20) for rows in (slice(170, 190), slice(80, 100)))
    change = [np.corrcoef(part[..., 1:].ravel(), part[..., :-1].ravel())[0, 1] for part in (wide, focused)]
    assert change[0] > change[1] + 0.1  # away from the focus the beam is wider


def test_image_does_not_depend_on_slabs_and_noise_grows_with_depth(monkeypatch):
    frame = Frame((40, 150, 30), (0.8, 0.3, 1.5))
    dark = np.full(frame.shape[::-1], -80, np.float32)
    zero = np.zeros_like(dark)
    beam = Beam(0.3, (0.8, 1.2), 1.5, noise_db=-30)
    image = acquire(dark, zero, frame, frame, beam, 0.0, np.random.default_rng(1))
    assert image[:, -40:].mean() > image[:, :40].mean() + 10
    monkeypatch.setattr("pipeline.phantoms.breast_ultrasound.echo._SLAB", 7)
    assert np.array_equal(acquire(dark, zero, frame, frame, beam, 0.0, np.random.default_rng(1)), image)
