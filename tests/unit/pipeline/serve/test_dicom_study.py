"""What answers take over from their source: its order and its study, no more of its patient than DICOM demands."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_answers import AFFINES, FRAME, STUDY, write_exam

from pipeline.errors import InputError
from pipeline.serve.dicom_study import Model, need_dicom, read_series, read_views


def test_slices_come_in_the_order_of_their_places_whatever_files_are_called(tmp_path: Path, make_series: Any) -> None:
    _, affine = write_exam(make_series, tmp_path / "dyn", AFFINES["reversed"])
    source = read_series(tmp_path / "dyn")
    assert source.grid is not None and np.array_equal(source.grid.affine, affine)
    for k, image in enumerate(source.images):
        assert np.allclose(np.array(image.ImagePositionPatient) * [-1, -1, 1], affine[:3] @ [0, 0, k, 1], atol=1e-4)
    assert {image.FrameOfReferenceUID for image in source.images} == {FRAME}


def test_of_the_patient_there_is_what_dicom_demands_and_nothing_else(tmp_path: Path, make_series: Any) -> None:
    write_exam(make_series, tmp_path / "dyn", AFFINES["axial"], SpecificCharacterSet="ISO_IR 100",
               PatientName="Müller^Ä", PatientAddress="Street 1", OtherPatientIDs="77", PatientComments="x",
               InstitutionName="Clinic", OperatorsName="Who", PatientSex="unknown", PatientBirthDate="hidden",
               StudyDate="19990101", StudyTime="noon", PatientAge="050Y", Manufacturer="Maker", DeviceSerialNumber="9")
    image = read_series(tmp_path / "dyn").images[0]
    assert image.PatientName == "Müller^Ä" and image.SpecificCharacterSet == "ISO_IR 192"
    assert (image.PatientID, image.PatientSex, image.PatientBirthDate) == ("SECRET", "", "")  # what is none is empty
    assert (image.StudyDate, image.StudyTime, image.StudyInstanceUID) == ("19990101", "", STUDY)
    assert not {"PatientAddress", "OtherPatientIDs", "PatientComments", "InstitutionName", "OperatorsName",
                "PatientAge", "DeviceSerialNumber", "PixelData"} & set(image.dir())


def test_what_cannot_be_referred_to_is_refused(tmp_path: Path, make_series: Any, make_mammogram: Any) -> None:
    write_exam(make_series, tmp_path / "dyn", AFFINES["axial"], FrameOfReferenceUID="")
    with pytest.raises(InputError, match="dyn: its slices do not name one frame of reference"):
        read_series(tmp_path / "dyn")
    (tmp_path / "pre.nii.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "L-CC.png").write_bytes(b"\x89PNG")
    (tmp_path / "exam").mkdir()
    shutil.copy(tmp_path / "pre.nii.gz", tmp_path / "exam")
    for read, path in ((read_series, tmp_path / "pre.nii.gz"), (read_views, [tmp_path / "L-CC.png"]),
                       (need_dicom, tmp_path / "pre.nii.gz"), (need_dicom, str(tmp_path / "exam"))):
        with pytest.raises(InputError, match=r"no DICOM.*leave out --dicom"):
            read(path)
    need_dicom(tmp_path / "dyn")
    for name, study in (("L", "1.2.3"), ("R", "1.2.4")):
        make_mammogram(tmp_path / "mg" / f"{name}-CC.dcm", name, StudyInstanceUID=study)
    with pytest.raises(InputError, match="mg: its files are of several studies"):
        read_views([tmp_path / "mg" / "L-CC.dcm", tmp_path / "mg" / "R-CC.dcm"])
    make_mammogram(tmp_path / "mg" / "R-MLO.dcm", "R")
    with pytest.raises(InputError, match=r"R-MLO.dcm: has no StudyInstanceUID"):
        read_views([tmp_path / "mg" / "R-MLO.dcm"])


def test_a_model_is_one_device_and_each_object_a_series_of_its_own() -> None:
    model, other = Model("a", "1"), Model("a", "2")
    assert model.uid == Model("a", "1").uid != other.uid and pydicom.uid.UID(model.uid).is_valid
    one, two = model.series(1, "Map"), model.series(1, "Map")
    assert not {one["series_instance_uid"], one["sop_instance_uid"]} & {*map(str, two.values())}
    assert "research only" in one["series_description"] and one["software_versions"].startswith("1,")
    assert all(len(str(value)) <= 64 for value in Model("n" * 100, "v" * 100).series(1, "Map of suspicion").values())
