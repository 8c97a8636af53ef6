"""Facts of an image, by hand."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from transforms.facts import facts_of
from transforms.load import Image


def of(array: np.ndarray, **options):
    return facts_of(Image(np.asfortranarray(array), np.diag([1.0, 2.0, 3.0, 1.0])), "a.nii.gz", **options)


def test_voxels_that_are_no_numbers_are_counted() -> None:
    array = np.ones((4, 5, 6), np.float32)
    array[0, 0, 0], array[1, 2, 3] = np.nan, np.inf
    assert of(array).non_finite == 2


def test_a_constant_image_says_its_value() -> None:
    assert of(np.full((4, 5, 6), 7, np.int16)).constant == 7.0
    assert of(np.arange(8).reshape(2, 2, 2)).constant is None


def test_an_outlier_and_a_clipped_image_stand_out() -> None:
    array = np.random.default_rng(0).uniform(1, 2, (20, 20, 20)).astype(np.float32)
    assert of(array).spread == pytest.approx(1, abs=0.01) and of(array).clipped < 0.01
    array[3, 3, 3] = 200
    assert of(array).spread == pytest.approx(100, rel=0.01)
    assert of(np.minimum(array, 1.25)).clipped == pytest.approx(0.75, abs=0.1)  # three of four lie above


def test_the_check_sum_is_that_of_the_stored_order() -> None:
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert of(array).checksum is None
    assert of(array, checksum=True).checksum[0] == zlib.crc32(array.tobytes(order="F"))
