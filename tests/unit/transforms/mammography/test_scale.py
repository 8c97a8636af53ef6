"""Mammograms on a width, and points back on native pixels, by hand."""

from __future__ import annotations

import torch

from transforms import ScaleToWidth, ScaleToWidthd
from transforms.mammography.geometry import Box, cut
from transforms.mammography.scale import native_point, region_around


def test_scale_to_width() -> None:
    image = torch.arange(8.0).repeat(1, 12, 1)
    assert ScaleToWidth(4)(image).shape == (1, 6, 4) and ScaleToWidth(16)(image).shape == (1, 24, 16)
    half = ScaleToWidthd(width=4)({"image": image})["image"]
    torch.testing.assert_close(half[0, 0, 1:3], torch.tensor([2.5, 4.5]), atol=0.01, rtol=0)  # means of neighbours


def test_region_stays_in_the_image() -> None:
    assert region_around((100, 50), (50, 25), 20) == Box(40, 60, 16, 36)
    assert region_around((100, 50), (2, 49), 20) == Box(0, 20, 30, 50)
    assert region_around((100, 50), (99, 25), 60) == Box(40, 100, -5, 55)
    assert cut(torch.ones(1, 100, 50), Box(40, 100, -5, 55)).sum() == 60 * 50


def test_points_go_back_to_native_pixels() -> None:
    """Scaled by a half, the first pixel's centre lies between native pixels 0 and 1."""
    assert native_point((0, 0), (0, 0), (100, 50), (50, 25)) == (0.5, 0.5)
    assert native_point((10, 7), (5, -2), (100, 50), (50, 25)) == (30.5, 10.5)
