"""Cutting mammograms: masks and boxes worked out by hand on rectangles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from transforms import InputError
from transforms.mammography.geometry import (
    Box,
    Breast,
    CropRules,
    breast_mask,
    cut,
    find_breast,
    standardise,
)


def rules(rows: int, columns: int, **changes) -> CropRules:
    return CropRules(**{"erosions": 3, "buffer": 5, "windows": {"CC": (rows, columns), "MLO": (rows, columns)},
                        "shift": 4, "stretch": 4, **changes})


def test_mask_is_an_opening_by_taxicab_distance() -> None:
    """A pixel survives n erosions where every pixel at a taxicab distance of at most n is set; then the reverse."""
    pixels = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(90, 70)), 8)
    pixels[:8, -8:] = 1
    core = ndimage.distance_transform_cdt(np.pad(pixels > 0, 1), "taxicab")[1:-1, 1:-1] > 3
    pieces, _ = ndimage.label(core)
    largest = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    expected = ndimage.distance_transform_cdt(~largest, "taxicab") <= 3
    np.testing.assert_array_equal(breast_mask(pixels, 3), expected)


def test_box_has_buffers_above_below_and_at_the_nipple_and_no_label() -> None:
    pixels = np.zeros((100, 80))
    pixels[20:70, 0:40] = 1
    pixels[2:10, 70:79] = 1  # a label
    pixels[50, 42:80] = 1  # a line
    breast = find_breast(pixels, rules(10, 10))
    assert breast == Breast(Box(15, 75, 0, 45), rightmost=40, bottommost=55)


def test_rightmost_is_not_looked_for_in_the_upper_third() -> None:
    pixels = np.zeros((90, 60))
    pixels[0:90, 0:20] = 1
    pixels[0:20, 20:50] = 1  # the arm
    assert find_breast(pixels, rules(10, 10)).rightmost == 20


def test_nothing_left_after_the_erosions() -> None:
    with pytest.raises(InputError, match="lower the erosions") as caught:
        breast_mask(np.eye(50), 3)
    assert caught.value.code == "no_breast"


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("box", [Box(1, 3, 1, 3), Box(-2, 3, -1, 2), Box(1, 6, 2, 7), Box(-3, -1, 0, 2),
                                 Box(5, 8, 1, 2), Box(-1, 5, -1, 6)])
def test_cut_pads_with_zeros(kind, box) -> None:
    pixels = 1 + np.arange(20.0).reshape(1, 4, 5)
    expected = np.pad(pixels, [(0, 0), (10, 10), (10, 10)])[:, box.top + 10 : box.bottom + 10,
                                                            box.left + 10 : box.right + 10]
    np.testing.assert_array_equal(np.asarray(cut(kind(pixels), box)), expected)


def test_scaled_rules() -> None:
    small = CropRules().scaled(1 / 16)
    assert (small.erosions, small.buffer, small.windows["CC"], small.windows["MLO"]) == (6, 3, (167, 121), (186, 109))


def test_standardise() -> None:
    torch.testing.assert_close(standardise(torch.tensor([[0.0, 2.0], [4.0, 6.0]])) * 5**0.5,
                               torch.tensor([[-3.0, -1.0], [1.0, 3.0]]))
    assert not standardise(torch.full((3, 3), 7.0)).any()
