"""Mammograms drawn by hand, as files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation as MAMMOGRAPHY
from pydicom.uid import ExplicitVRLittleEndian

from transforms import InputError, read_mammogram


def breast(wall: str = "left", rows: int = 120, columns: int = 80, label: bool = False) -> np.ndarray:
    """Half an ellipse of values 1000 to 3000 on 0, with an empty border around the picture and maybe a label."""
    y, x = np.mgrid[:rows, :columns]
    inside = ((y - rows / 2) / (rows / 2 - 10)) ** 2 + ((x - 5) / (columns / 2)) ** 2 < 1
    pixels = np.where(inside & (x >= 5), 1000 + 25 * x, 0).astype(np.uint16)
    if label:
        pixels[2:30, -12:-2] = 4095
    return pixels if wall == "left" else pixels[:, ::-1].copy()


def save_png(folder, pixels, name="image.png"):
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def save_dicom(folder, pixels, name="image.dcm", **header):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = header.pop("syntax", ExplicitVRLittleEndian)
    data.SOPClassUID, data.SOPInstanceUID = MAMMOGRAPHY, "1.2.3"
    data.PatientName = "Somebody^Secret"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.ImageLaterality, data.ViewPosition = "L", "CC"
    for key, value in header.items():
        setattr(data, key, value)
    compressed = data.file_meta.TransferSyntaxUID not in (ExplicitVRLittleEndian,)
    wanted, data.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID, ExplicitVRLittleEndian
    data.PixelData = pixels.tobytes()
    if compressed:
        data.compress(wanted)
    data.save_as(folder / name, enforce_file_format=True)
    return folder / name


def fails(code, *args, **options):
    with pytest.raises(InputError) as caught:
        read_mammogram(*args, **options)
    assert caught.value.code == code
    message = str(caught.value)
    assert "\n" not in message and "/" not in message.replace("CC/MLO", "") and "Secret" not in message
    return message
