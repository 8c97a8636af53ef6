"""Stored values of DICOM images: as they were written, or one line on what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from transforms.dicom_pixels import decode_pixels
from transforms.errors import InputError

PIXELS = np.arange(20 * 10).reshape(20, 10) * 7


def test_values_are_those_that_were_written(tmp_path: Path, make_mammogram: Any) -> None:
    make_mammogram(tmp_path / "a.dcm", pixels=PIXELS)
    assert np.array_equal(decode_pixels("a", pydicom.dcmread(tmp_path / "a.dcm")), PIXELS)


@pytest.mark.parametrize(("change", "code", "text"), [
    (lambda file: file.__delattr__("PixelData"), "no_pixels", "holds no pixels"),
    (lambda file: setattr(file, "NumberOfFrames", 3), "unreadable", "holds 3 frames"),
    (lambda file: setattr(file, "PixelData", b"\0" * 20), "truncated", "truncated or damaged"),
])
def test_what_cannot_be_decoded_is_said(tmp_path: Path, make_mammogram: Any, change: Any, code: str, text: str) -> None:
    make_mammogram(tmp_path / "a.dcm", pixels=PIXELS)
    file = pydicom.dcmread(tmp_path / "a.dcm")
    change(file)
    with pytest.raises(InputError, match=text) as caught:
        decode_pixels("a.dcm", file)
    assert caught.value.code == code and str(caught.value).startswith("a.dcm: ")
