"""Cutting mammograms: boxes and windows worked out by hand on rectangles, and the real exam where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from commands import ROOT
from scipy import ndimage

from transforms import BreastWindowd, InputError, read_mammogram
from transforms.mammography.geometry import (
    Box,
    Breast,
    CropRules,
    best_window,
    breast_mask,
    cut,
    find_breast,
    random_windows,
    standardise,
)

EXAM = ROOT.parent / "shared" / "data" / "mammography_exam"


def rules(rows: int, columns: int, **changes) -> CropRules:
    return CropRules(**{"erosions": 3, "buffer": 5, "windows": {"CC": (rows, columns), "MLO": (rows, columns)},
                        "shift": 4, "stretch": 4, **changes})


def placed(shape, view, window, rightmost, bottommost, filled=None) -> Box:
    pixels = np.ones(shape) if filled is None else filled
    return best_window(pixels, view, Breast(Box(0, shape[0], 0, shape[1]), rightmost, bottommost), rules(*window))


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


def test_windows_smaller_than_the_box() -> None:
    assert placed((100, 60), "MLO", (40, 30), rightmost=50, bottommost=90) == Box(50, 90, 20, 50)
    assert placed((100, 60), "MLO", (40, 30), rightmost=20, bottommost=30) == Box(0, 40, 0, 30)
    filled = np.zeros((100, 60))
    filled[30:65, 20:50] = 1
    assert placed((100, 60), "CC", (40, 30), 50, 90, filled) == Box(30, 70, 20, 50)  # of 25 to 30, nearest to 30


def test_windows_larger_than_the_box_keep_the_chest_wall_at_column_0() -> None:
    assert placed((100, 60), "MLO", (140, 90), 50, 90) == Box(0, 140, 0, 90)
    assert placed((100, 60), "CC", (140, 90), 50, 90) == Box(-20, 120, 0, 90)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("box", [Box(1, 3, 1, 3), Box(-2, 3, -1, 2), Box(1, 6, 2, 7), Box(-3, -1, 0, 2),
                                 Box(5, 8, 1, 2), Box(-1, 5, -1, 6)])
def test_cut_pads_with_zeros(kind, box) -> None:
    pixels = 1 + np.arange(20.0).reshape(1, 4, 5)
    expected = np.pad(pixels, [(0, 0), (10, 10), (10, 10)])[:, box.top + 10 : box.bottom + 10,
                                                            box.left + 10 : box.right + 10]
    np.testing.assert_array_equal(np.asarray(cut(kind(pixels), box)), expected)


@pytest.mark.parametrize("shape", [(100, 60), (30, 20), (44, 33)])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_random_windows_are_repeatable_and_near_the_best(view, shape) -> None:
    pixels, given = np.ones(shape), rules(40, 30)
    breast = Breast(Box(0, *shape[:1], 0, shape[1]), shape[1] - 5, shape[0] - 5)
    windows = random_windows(pixels, view, breast, given, seed=3)
    assert windows == random_windows(pixels, view, breast, given, seed=3)
    assert windows != random_windows(pixels, view, breast, given, seed=4)
    assert len(windows) == 10 and len(set(windows)) > 5
    best = best_window(pixels, view, breast, rules(40, 30))
    room = 8
    for window in windows:
        assert window.left >= 0 and window.right <= max(shape[1], 30 + room)
        assert abs((window.bottom - window.top) - 40) <= room and abs((window.right - window.left) - 30) <= room
        if shape != (44, 33):  # there, making room moves the window itself
            assert np.abs(np.subtract(window, best)).max() <= room


def test_scaled_rules() -> None:
    small = CropRules().scaled(1 / 16)
    assert (small.erosions, small.buffer, small.windows["CC"], small.windows["MLO"]) == (6, 3, (167, 121), (186, 109))


def test_standardise() -> None:
    torch.testing.assert_close(standardise(torch.tensor([[0.0, 2.0], [4.0, 6.0]])) * 5**0.5,
                               torch.tensor([[-3.0, -1.0], [1.0, 3.0]]))
    assert not standardise(torch.full((3, 3), 7.0)).any()


def test_window_transform_cuts_heat_maps_alike() -> None:
    image = torch.zeros(2, 300, 160)
    image[:, 40:240, :100] = 5
    item = {"image": image, "view": "R-MLO-2"}
    best = BreastWindowd(scale=1 / 16)(item)["image"]
    assert best.shape == (2, 186, 109)
    assert abs(float(best[0].mean())) < 1e-5 and abs(float(best[0].std()) - 1) < 1e-3
    assert torch.equal(best[0] > 0, best[1] == 5)
    crops = BreastWindowd(scale=1 / 16, crops=10)(item)["image"]
    assert crops.shape == (10, 2, 186, 109)
    assert torch.equal(crops, BreastWindowd(scale=1 / 16, crops=10)(item)["image"])
    assert float(image.max()) == 5  # the input stays as it is


@pytest.mark.skipif(not EXAM.is_dir(), reason="the real mammography exam is not here")
@pytest.mark.parametrize("view", ["L-CC", "R-CC", "L-MLO", "R-MLO"])
def test_the_real_exam_is_cut_as_its_authors_cut_it(view) -> None:
    """It was cut by these rules, so the box is the whole picture, with the buffers right and at the bottom."""
    found = read_mammogram(EXAM / f"0_{view}.png", view)
    rows, columns = found.pixels.shape
    assert found.flipped == (view[0] == "R")
    assert find_breast(found.pixels) == Breast(Box(0, rows, 0, columns), columns - 50, rows - 50)
