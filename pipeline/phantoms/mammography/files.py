"""Files of synthetic mammograms: PNG with 16 bits, or DICOM "for presentation"; equal images are equal files."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

HIGHEST = 4095  # 12 bits


def png_bytes(pixels: np.ndarray) -> bytes:
    """A 16-bit grey PNG of `(rows, columns)` uint16."""
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint16)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def dicom_bytes(pixels: np.ndarray, side: str, view: str, spacing: float, photometric: str, wall: str, patient_id: str,
                exam_id: str) -> bytes:
    """A DICOM file without compression, dates or names; its background is padding.

    Args:
        pixels: as they lie in the file, `(rows, columns)` uint16, 0 to 4095, 0 in the background, brighter is denser.
        side: `L` or `R`.
        view: `CC` or `MLO`.
        spacing: mm a pixel at the detector.
        photometric: `MONOCHROME1` stores the values turned around, `MONOCHROME2` as they are.
        wall: edge of the image with the chest wall, `left` or `right`.
        patient_id, exam_id: of the synthetic cohort; UIDs follow from them.
    """
    def uid(*parts: str) -> str:
        return generate_uid(entropy_srcs=["breast-bundles phantom", *parts])

    inverse = photometric == "MONOCHROME1"
    image = Dataset()
    image.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    image.SOPInstanceUID = uid(patient_id, exam_id, side, view, photometric, wall, str(pixels.shape))
    image.StudyInstanceUID, image.SeriesInstanceUID = uid(patient_id, exam_id), uid(patient_id, exam_id, "series")
    image.Modality, image.PresentationIntentType = "MG", "FOR PRESENTATION"
    image.PatientID, image.PatientName = patient_id, ""
    image.ImageLaterality, image.ViewPosition = side, view
    image.PatientOrientation = ["A" if wall == "left" else "P", "F"]
    image.ImagerPixelSpacing = [round(spacing, 6)] * 2
    image.PhotometricInterpretation, image.SamplesPerPixel, image.PixelRepresentation = photometric, 1, 0
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelPaddingValue = HIGHEST if inverse else 0
    image.WindowCenter, image.WindowWidth = 1800 if not inverse else HIGHEST - 1800, 3600
    image.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    image.PixelData = (HIGHEST - pixels if inverse else pixels).astype("<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()
