"""Mammograms as DICOM: stored values, headers, windows and compression."""

from __future__ import annotations

import numpy as np
import pytest
from mammogram_files import breast, fails, save_dicom
from pydicom.dataset import Dataset
from pydicom.pixels.decoders import JPEG2000LosslessDecoder
from pydicom.uid import JPEG2000Lossless, RLELossless

from transforms import read_mammogram


def test_header_says_side_view_and_stored_orientation(tmp_path) -> None:
    path = save_dicom(tmp_path, breast("right"), PatientOrientation=["P", "F"], ImagerPixelSpacing=[0.07, 0.08])
    found = read_mammogram(path)
    assert (found.side, found.view, found.flipped, found.spacing_mm) == ("L", "CC", True, (0.07, 0.08))
    code = Dataset()
    code.CodeValue = "399368009"
    path = save_dicom(tmp_path, breast(), ViewPosition="", ViewCodeSequence=[code])
    assert read_mammogram(path).view == "MLO"


def test_monochrome1_with_padding_and_rescale(tmp_path) -> None:
    """Stored 10 to 60, empty film at 60; padding 0 is neither the densest tissue nor the brightest value."""
    pixels = np.array([[0, 10, 20, 60], [5, 30, 60, 60]], np.uint16)
    path = save_dicom(tmp_path, pixels, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0,
                      PixelPaddingRangeLimit=5, RescaleSlope=2, RescaleIntercept=-20)
    found = read_mammogram(path, check_side=False).pixels
    np.testing.assert_array_equal(found, [[0, 100, 80, 0], [0, 60, 0, 0]])  # 2 × (60 − stored)


def test_window_only_where_wanted(tmp_path) -> None:
    pixels = np.array([[0, 1000, 2000, 3000]], np.uint16)
    path = save_dicom(tmp_path, pixels, WindowCenter=1500, WindowWidth=1001)
    np.testing.assert_array_equal(read_mammogram(path, check_side=False).pixels, pixels)
    windowed = read_mammogram(path, check_side=False, window=True).pixels
    np.testing.assert_allclose(windowed, [[0, 0, 4095, 4095]], atol=5)  # 1000 to 2000 spread over 12 bits


def test_compressed_dicom_and_a_missing_plugin(tmp_path, monkeypatch) -> None:
    np.testing.assert_array_equal(read_mammogram(save_dicom(tmp_path, breast(), syntax=RLELossless)).pixels, breast())
    pytest.importorskip("openjpeg", reason="needs breast-bundles[dicom]")
    path = save_dicom(tmp_path, breast(), syntax=JPEG2000Lossless)
    np.testing.assert_array_equal(read_mammogram(path).pixels, breast())
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {})
    assert "pip install 'breast-bundles[dicom]'" in fails("plugin", path)
