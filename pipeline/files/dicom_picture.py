"""A picture as DICOM, for archives and viewers that show nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from pipeline import __version__
from pipeline.files.atomic import replacing

_OF_STUDY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
             "AccessionNumber", "StudyID", "ReferringPhysicianName")


def write_dicom_picture(path: Path | str, picture: np.ndarray, exam_id: str, description: str) -> None:
    """Write a colour picture as Secondary Capture of no patient and no study (`dicom_picture`), in one piece."""
    with replacing(path) as temporary:
        dicom_picture(picture, exam_id, description).save_as(temporary, enforce_file_format=True)


def dicom_picture(picture: np.ndarray, exam_id: str, description: str, images: Sequence[Dataset] = ()) -> FileDataset:
    """A colour picture as Secondary Capture.

    Without images it is an object of its own with new identifiers: it names no patient but by the study's exam id, has
    no date, and refers to no other object, so that it cannot be taken for an acquired image. With images it is of their
    patient and study, a series of its own, and refers to each.

    Args:
        picture: uint8 `(rows, columns, 3)`, red, green, blue.
        exam_id: becomes the patient id, cut to the 64 characters that DICOM allows, where there are no images.
        description: becomes the series' description.
        images: headers of those it was made of, whose texts are UTF-8.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
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
    if images:
        file.SeriesNumber, file.PatientOrientation = 9004, ""
        for tag in _OF_STUDY:
            setattr(file, tag, images[0].get(tag, ""))
        file.SourceImageSequence = [_reference(image) for image in images]
    file.Rows, file.Columns, file.SamplesPerPixel = *picture.shape[:2], 3
    file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    pixels = np.ascontiguousarray(picture, np.uint8).tobytes()
    file.PixelData = pixels + b"\0" * (len(pixels) % 2)
    return file


def _reference(image: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return one
