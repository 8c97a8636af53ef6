"""Stored values of a DICOM image, whatever its compression."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_color_lut, get_decoder

from transforms.errors import InputError

MOST_PIXELS = 100_000_000  # of one picture; the largest detectors have a third of that


def decode_pixels(name: str, header: FileDataset) -> np.ndarray:
    """Stored values, `(rows, columns)`, or `(rows, columns, 3)` float32 RGB."""
    if "PixelData" not in header:  # a file cut off before its pixels looks like one that never had any
        raise InputError(f"{name}: holds no pixels; give the image itself, or copy it again", code="no_pixels")
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise InputError(f"{name}: holds {header.NumberOfFrames} frames; give single 2D images", code="unreadable")
    if int(header.get("Rows") or 0) * int(header.get("Columns") or 0) > MOST_PIXELS:
        raise InputError(f"{name}: {header.Rows} × {header.Columns} pixels are more than an image has; cut it",
                         code="unreadable")
    if "TransferSyntaxUID" not in header.file_meta:
        header.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    syntax = header.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        raise InputError(f"{name}: transfer syntax {syntax.name} cannot be read; convert it", code="unreadable"
                         ) from None
    if not ready:
        raise InputError(f"{name}: compressed ({syntax.name}); pip install 'breast-bundles[dicom]' reads it",
                         code="plugin")
    try:
        array = header.pixel_array
        if header.PhotometricInterpretation == "PALETTE COLOR":
            array = apply_color_lut(array, header)
    except Exception:  # decoders raise many kinds
        raise InputError(f"{name}: its pixels are truncated or damaged; copy it again", code="truncated") from None
    return array[..., :3].astype(np.float32) if array.ndim == 3 else array
