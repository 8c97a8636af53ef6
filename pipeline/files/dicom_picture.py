"""A picture as DICOM, for archives that take nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from pipeline import __version__
from pipeline.files.atomic import replacing


def write_dicom_picture(path: Path | str, picture: np.ndarray, exam_id: str, description: str) -> None:
    """Write a colour picture as Secondary Capture, in one piece.

    It is an object of its own with new identifiers: it names no patient but by the study's exam id, has no date, and
    refers to no other object, so that it cannot be taken for an acquired image.

    Args:
        path: where it goes.
        picture: uint8 `(rows, columns, 3)`, red, green, blue.
        exam_id: becomes the patient id, cut to the 64 characters that DICOM allows.
        description: becomes the series' description.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SpecificCharacterSet = "ISO_IR 192"
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.Modality, file.ConversionType, file.ImageType = "OT", "WSD", ["DERIVED", "SECONDARY"]
    file.PatientID, file.PatientName, file.PatientBirthDate, file.PatientSex = exam_id[:64], "", "", ""
    file.StudyDate = file.StudyTime = file.AccessionNumber = file.StudyID = file.ReferringPhysicianName = ""
    file.SeriesNumber, file.InstanceNumber, file.Laterality = 1, 1, ""
    file.SeriesDescription, file.BurnedInAnnotation = description[:64], "YES"
    file.DerivationDescription = "Research only. Not for clinical use."
    file.Manufacturer, file.SoftwareVersions = "breast-bundles", __version__
    file.Rows, file.Columns, file.SamplesPerPixel = *picture.shape[:2], 3
    file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    pixels = np.ascontiguousarray(picture, np.uint8).tobytes()
    file.PixelData = pixels + b"\0" * (len(pixels) % 2)
    with replacing(path) as temporary:
        file.save_as(temporary, enforce_file_format=True)
