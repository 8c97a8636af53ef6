"""The network's windows: worked out by hand on rectangles, and on a real exam as its authors' own code places them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from real_data import FOLDER, needs

from transforms import BreastWindowd, read_mammogram
from transforms.mammography.geometry import Box, Breast, CropRules, cut, find_breast
from transforms.mammography.windows import best_window, network_input, random_windows, windows

EXAM = FOLDER / "mammography_exam"
real = needs("mammography_exam")


def rules(rows: int, columns: int) -> CropRules:
    return CropRules(erosions=3, buffer=5, windows={"CC": (rows, columns), "MLO": (rows, columns)}, shift=4, stretch=4)


def placed(shape, view, window, rightmost, bottommost, filled=None) -> Box:
    pixels = np.ones(shape) if filled is None else filled
    return best_window(pixels, view, Breast(Box(0, shape[0], 0, shape[1]), rightmost, bottommost), rules(*window))


def test_windows_smaller_than_the_box() -> None:
    assert placed((100, 60), "MLO", (40, 30), rightmost=50, bottommost=90) == Box(50, 90, 20, 50)
    assert placed((100, 60), "MLO", (40, 30), rightmost=20, bottommost=30) == Box(0, 40, 0, 30)
    filled = np.zeros((100, 60))
    filled[30:65, 20:50] = 1
    assert placed((100, 60), "CC", (40, 30), 50, 90, filled) == Box(30, 70, 20, 50)  # of 25 to 30, nearest to 30


def test_windows_larger_than_the_box_keep_the_chest_wall_at_column_0() -> None:
    assert placed((100, 60), "MLO", (140, 90), 50, 90) == Box(0, 140, 0, 90)
    assert placed((100, 60), "CC", (140, 90), 50, 90) == Box(-20, 120, 0, 90)


def test_a_mlo_window_ends_where_tissue_of_its_own_columns_does() -> None:
    """Lower tissue further towards the chest wall than the last 30 columns does not pull the window down."""
    filled = np.zeros((100, 60))
    filled[:90, :30] = 1
    filled[:70, 30:] = 1
    assert placed((100, 60), "MLO", (40, 30), 50, 90, filled) == Box(30, 70, 20, 50)
    filled[:, 30:] = 0
    assert placed((100, 60), "MLO", (40, 30), 50, 90, filled) == Box(50, 90, 20, 50)  # nothing there: the bottommost


def test_a_cc_window_wider_than_the_box_counts_all_of_its_columns() -> None:
    filled = np.zeros((100, 60))
    filled[:, :30] = 1
    filled[10:50, 30:] = 1  # beyond the rightmost pixel of the lower two thirds
    assert placed((100, 60), "CC", (40, 90), 30, 90, filled) == Box(10, 50, 0, 90)


def test_every_view_of_every_exam_draws_its_own_windows() -> None:
    pixels, breast = np.ones((100, 60)), Breast(Box(0, 100, 0, 60), 55, 95)
    drawn = {(exam, name): tuple(windows(pixels, name, breast, rules(40, 30), 10, 0, exam))
             for exam in ("E1", "E2") for name in ("L-CC", "R-CC", "L-MLO", "R-MLO")}
    moved = {key: tuple(np.subtract(each, best_window(pixels, key[1][2:], breast, rules(40, 30))).tolist()
                        for each in found) for key, found in drawn.items()}
    assert len({str(found) for found in moved.values()}) == 8
    assert drawn["E1", "L-CC"] == tuple(windows(pixels, "L-CC", breast, rules(40, 30), 10, 0, "E1"))


def cubic(values: np.ndarray, size: int) -> np.ndarray:
    """Bicubic interpolation along the first axis by its textbook kernel (a = -0.75), edges repeated."""
    at = (np.arange(size) + 0.5) * len(values) / size - 0.5
    first = np.floor(at).astype(int) - 1
    found = np.zeros((size, *values.shape[1:]))
    for tap in range(4):
        x = np.abs(at - (first + tap))[:, None]
        weight = np.where(x <= 1, 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3)
        found += weight * values[np.clip(first + tap, 0, len(values) - 1)]
    return found


def test_windows_of_another_size_are_resized_by_cubic_interpolation() -> None:
    """As the authors' `INTER_CUBIC`: linear interpolation blurs a calcification of a pixel."""
    image = np.zeros((2, 30, 24))
    image[:, 14, 11] = 1
    found = network_input(torch.from_numpy(image).float(), Box(2, 26, 3, 21), (27, 20))
    expected = cubic(cubic(image[0, 2:26, 3:21], 27).T, 20).T
    np.testing.assert_allclose(found[1].numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(found[0].numpy(), (expected - expected.mean()) / expected.std(), atol=1e-4)


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


# Of the exam's files: found by the authors' own code (nyukat/breast_cancer_classifier 6176ebe). Rows and columns of the
# file; framed: box [top, bottom, left, right] of the file in a frame with a label and lines; enlarged 3 times: the box,
# last column and row of the mask in it, and the window.
PARITY = {
    "L-CC": ((2023, 801), (233, 2256, 0, 801), (0, 6069, 0, 2302), 2251, 6020, (1833, 4510, 308, 2250)),
    "L-MLO": ((2730, 981), (195, 2963, 0, 981), (0, 8190, 0, 2843), 2792, 8153, (4617, 7591, 1043, 2791)),
    "R-CC": ((2144, 801), (233, 2377, 1759, 2560), (0, 6388, 100, 2403), 2252, 6337, (2244, 4921, 310, 2252)),
    "R-MLO": ((2650, 1006), (195, 2883, 1554, 2560), (0, 7945, 100, 3018), 2867, 7894, (4302, 7276, 1119, 2867)),
}
# Mean of absolute values, least and largest of the network's input, and three of its entries (row, column, value).
INPUTS = {
    "L-CC": (0.6809098, -0.422601, 6.04948, (1338, 100, 0.432442), (1338, 400, 2.16939), (892, 250, 1.87859)),
    "L-MLO": (0.846122, -0.690133, 3.96337, (1487, 100, 1.19172), (1487, 400, 0.437162), (991, 250, 0.858762)),
    "R-CC": (0.6770998, -0.425751, 6.2454, (1338, 100, 1.20172), (1338, 400, 2.3763), (892, 250, 2.83407)),
    "R-MLO": (0.8388091, -0.677415, 4.80677, (1487, 100, 0.659147), (1487, 400, 1.30064), (991, 250, 1.60733)),
}


def stored(box: Box, name: str, columns: int) -> tuple[int, ...]:
    """A box of the mirrored picture in columns of the file."""
    return box if name[0] == "L" else (box.top, box.bottom, columns - box.right, columns - box.left)


@real
@pytest.mark.parametrize("name", PARITY)
def test_the_real_exam_is_cut_as_its_authors_cut_it(name) -> None:
    """It was cut by these rules, so the box is the whole picture, with the buffers right and at the bottom."""
    pixels = read_mammogram(EXAM / f"0_{name}.png", name).pixels
    (rows, columns), framed, *_ = PARITY[name]
    breast = find_breast(pixels)
    assert breast == Breast(Box(0, rows, 0, columns), columns - 50, rows - 50) and pixels.shape == (rows, columns)
    window = best_window(pixels, name[2:], breast)
    given = network_input(torch.from_numpy(pixels)[None], window, CropRules().windows[name[2:]])[0]
    mean, least, largest, *entries = INPUTS[name]
    assert (float(given.abs().mean()), float(given.min()), float(given.max())) == pytest.approx(
        (mean, least, largest), abs=1e-5)
    for row, column, value in entries:
        assert float(given[row, column]) == pytest.approx(value, abs=1e-5)
    frame = np.zeros((3328, 2560), np.float32)
    frame[233 : 233 + rows, :columns] = pixels
    frame[100:400, 2200:2450] = frame[:, 2500:2503] = frame[3200:3202, :2000] = 3000
    assert stored(find_breast(frame).box, name, 2560) == framed


@real
@pytest.mark.parametrize("name", PARITY)
def test_windows_of_the_real_exam_enlarged_lie_where_its_authors_place_them(name) -> None:
    pixels = read_mammogram(EXAM / f"0_{name}.png", name).pixels.repeat(3, axis=0).repeat(3, axis=1)
    _, _, box, last_column, last_row, window = PARITY[name]
    breast = find_breast(pixels)
    assert stored(breast.box, name, pixels.shape[1]) == box
    assert (breast.rightmost, breast.bottommost) == (last_column + 1, last_row + 1)
    found = best_window(cut(pixels, breast.box), name[2:], breast)
    assert np.abs(np.subtract(found, window)).max() <= 2  # theirs lies a pixel or two inside the last pixel
