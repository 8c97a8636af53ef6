"""Pictures as DICOM: what another reader finds in them."""

from __future__ import annotations

import numpy as np
import pydicom
from pydicom.uid import SecondaryCaptureImageStorage

from pipeline.files.dicom_picture import write_dicom_picture


def test_pydicom_reads_the_same_pixels_and_no_patient(tmp_path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)  # an odd number of bytes
    write_dicom_picture(tmp_path / "a.dcm", picture, "E7", "Saliency")
    write_dicom_picture(tmp_path / "b.dcm", picture, "E7", "Saliency")
    one, two = (pydicom.dcmread(tmp_path / name) for name in ("a.dcm", "b.dcm"))
    np.testing.assert_array_equal(one.pixel_array, picture)
    assert one.SOPClassUID == SecondaryCaptureImageStorage and one.SOPInstanceUID != two.SOPInstanceUID
    assert one.PatientID == "E7" and one.PatientName == "" and one.StudyDate == ""
    assert not {"ContentDate", "AcquisitionDate", "InstitutionName", "SourceImageSequence"} & set(one.dir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.dcm", "b.dcm"]
