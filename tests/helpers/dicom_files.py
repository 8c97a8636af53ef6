"""DICOM as scanners write it: series of slices, and mammograms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts import AFFINE


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, *, first: int = 1, shuffle: int = 0,
                 **tags: Any) -> str:
    """Write a volume `(X, Y, Z)` as DICOM slices, as a scanner does; returns its SeriesInstanceUID.

    Args:
        folder: made where it is not there.
        array: whole numbers of 16 bits.
        affine: voxel index to RAS mm; its third axis must be orthogonal to the others.
        first: number of the first file and instance; a folder can hold several volumes.
        shuffle: seed that names and instance numbers are drawn with; 0: in the order of the slices.
        tags: of every slice, by keyword; a list of as many values as slices gives each its own.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    numbers = np.arange(array.shape[2])
    if shuffle:
        np.random.default_rng(shuffle).shuffle(numbers)
    uid = str(tags.pop("SeriesInstanceUID", pydicom.uid.generate_uid()))
    for k in range(array.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        number = first + int(numbers[k])
        path = folder / f"1-{number:03d}.dcm"
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        file.PatientName, file.PatientID, file.StudyDate, file.Modality = "SECRET^NAME", "SECRET", "19990101", "MR"
        file.StudyInstanceUID, file.SeriesInstanceUID, file.InstanceNumber = "1.2.3", uid, number
        file.ImageOrientationPatient = [float(v) for v in (*(lps[:3, 0] / steps[0]), *(lps[:3, 1] / steps[1]))]
        file.ImagePositionPatient = [float(v) for v in lps[:3] @ [0, 0, k, 1]]
        file.PixelSpacing = [float(steps[1]), float(steps[0])]
        file.SliceThickness = float(steps[2])
        for tag, value in tags.items():
            setattr(file, tag, value[k] if isinstance(value, list) and len(value) == array.shape[2] else value)
        file.Columns, file.Rows = array.shape[:2]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.PixelRepresentation = int(array.dtype.kind == "i")
        file.PixelData = np.ascontiguousarray(array[:, :, k].T).astype(array.dtype.newbyteorder("<")).tobytes()
        file.save_as(path, enforce_file_format=True)
    return uid


@pytest.fixture
def make_series() -> Callable[..., str]:
    """`write_series`, for tests of DICOM."""
    return write_series


def write_mammogram(path: Path, side: str = "L", shape: tuple[int, int] = (60, 40), *, pixels: np.ndarray | None = None,
                    bits: int = 16, **tags: Any) -> None:
    """Write a mammogram as DICOM: a breast with the chest wall at its side's usual edge, or given pixels.

    Args:
        path: folders above are made.
        side: L or R, of the drawn breast.
        shape: rows and columns of the drawn breast.
        pixels: `(rows, columns)`, instead of it.
        bits: 8 or 16.
        tags: by keyword; with `PhotometricInterpretation="MONOCHROME1"` the stored values are the inverse.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    if pixels is None:
        rows, columns = np.indices(shape)
        inside = ((rows - shape[0] / 2) / (0.4 * shape[0])) ** 2 + (columns / (0.7 * shape[1])) ** 2 < 1
        pixels = inside * (900 - 5 * columns) if bits == 16 else inside * (200 - columns)
        pixels = pixels if side == "L" else pixels[:, ::-1]
    if tags.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = pixels.max() - pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.SeriesInstanceUID, file.Modality = pydicom.uid.generate_uid(), "MG"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit = bits - 1
    for tag, value in tags.items():
        setattr(file, tag, value)
    file.PixelData = pixels.astype(f"<u{bits // 8}").tobytes() + b"\0" * (pixels.size * bits // 8 % 2)
    file.save_as(path, enforce_file_format=True)


@pytest.fixture
def make_mammogram() -> Callable[..., None]:
    """`write_mammogram`, for tests of converters."""
    return write_mammogram
