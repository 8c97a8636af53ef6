"""Answers as DICOM files: what is written of a series and of mammograms, by whose rules, and that nothing leaks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_answers import AFFINES, FRAME, STUDY, result, views, write_exam

from pipeline.errors import InputError
from pipeline.serve.dicom_objects import write_dicom
from pipeline.serve.dicom_study import Model

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")

MODEL = Model("breast_mri_curriculum", "0.1.0")
PICTURE = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
CLASSES = {"map": "1.2.840.10008.5.1.4.1.1.30", "levels": "1.2.840.10008.5.1.4.1.1.66.4",
           "report": "1.2.840.10008.5.1.4.1.1.88.34", "picture": "1.2.840.10008.5.1.4.1.1.7"}

# What dciodvfy warns of: a laterality that is empty where unknown, as it is of an exam that may show both breasts; a
# term that is younger than it; and the project's own codes.
KNOWN = ("Laterality(0020,0060)>", "Unrecognized defined term = <QUANTITY>", "Unrecognized defined term = <99BREAST")


def answered(folder: Path, make_series: Any, name: str = "axial", **tags: Any) -> list[Path]:
    heat, affine = write_exam(make_series, folder / "dyn", AFFINES[name], **tags)
    return write_dicom(folder / "dyn", result(AFFINES[name]), heat, folder / "out", MODEL, affine=affine,
                       picture=PICTURE, name="E1")


def of_mammograms(folder: Path, make_mammogram: Any) -> list[Path]:
    for side in "LR":
        make_mammogram(folder / f"{side}-CC.dcm", side, StudyInstanceUID=STUDY, PatientID="SECRET", StudyID="1",
                       StudyDate="19990101", StudyTime="120000", PatientOrientation=["A", "L"],
                       ImagerPixelSpacing=[0.1, 0.1])
    return write_dicom([folder / "L-CC.dcm", folder / "R-CC.dcm"], views(), None, folder / "out", MODEL,
                       picture=PICTURE, name="E1")


def test_four_objects_of_the_source_s_patient_and_study(tmp_path: Path, make_series: Any) -> None:
    paths = answered(tmp_path, make_series, PatientAddress="Street 1", InstitutionName="Clinic")
    assert [path.name for path in paths] == [f"E1_{kind}.dcm" for kind in CLASSES]
    slices = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "dyn").iterdir()}
    files = [pydicom.dcmread(path) for path in paths]
    for file, uid in zip(files, CLASSES.values(), strict=True):
        assert file.SOPClassUID == uid and file.StudyInstanceUID == STUDY
        assert (file.PatientName, file.PatientID, file.StudyDate) == ("SECRET^NAME", "SECRET", "19990101")
        assert not {"PatientAddress", "InstitutionName"} & set(file.dir()) and file.SeriesDescription
        assert {str(item.value) for item in file.iterall() if item.keyword == "ReferencedSOPInstanceUID"} <= slices
    assert {file.get("FrameOfReferenceUID") for file in files[:2]} == {FRAME}
    assert len({file.SeriesInstanceUID for file in files}) == len({file.SOPInstanceUID for file in files}) == 4
    assert np.array_equal(files[3].pixel_array, PICTURE) and len(files[3].SourceImageSequence) == 6
    assert files[1].pixel_array.any() and files[0].NumberOfFrames == 6


def test_levels_alone_where_the_map_has_them_and_no_segments_where_nothing_is_hot(
        tmp_path: Path, make_series: Any) -> None:
    heat, affine = write_exam(make_series, tmp_path / "dyn", AFFINES["axial"])
    one = write_dicom(f"{tmp_path / 'dyn'}", result(affine), (heat > 0).astype(np.uint8), tmp_path / "a", MODEL)
    assert [path.name for path in one] == ["answer_levels.dcm", "answer_report.dcm"]
    two = write_dicom(tmp_path / "dyn", result(affine), heat * 0, tmp_path / "b", MODEL)
    assert [path.name for path in two] == ["answer_map.dcm", "answer_report.dcm"]


def test_mammograms_have_a_report_and_a_picture(tmp_path: Path, make_mammogram: Any) -> None:
    paths = of_mammograms(tmp_path, make_mammogram)
    assert [path.name for path in paths] == ["E1_report.dcm", "E1_picture.dcm"]
    assert {pydicom.dcmread(path).StudyInstanceUID for path in paths} == {STUDY}


def test_nothing_of_the_patient_is_said(tmp_path: Path, make_series: Any, capfd: Any, caplog: Any) -> None:
    answered(tmp_path, make_series, PatientName="SECRETWITHOUTCARET", PatientID="SECRET" * 12, AccessionNumber="S" * 20)
    out, err = capfd.readouterr()
    assert "SECRET" not in out + err + caplog.text


def test_all_files_or_none(tmp_path: Path, make_series: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    heat, affine = write_exam(make_series, tmp_path / "dyn", AFFINES["axial"])
    with pytest.raises(InputError, match="are not those of the DICOM series"):
        write_dicom(tmp_path / "dyn", result(affine), heat[1:], tmp_path / "out", MODEL)
    save = pydicom.dataset.Dataset.save_as

    def full(dataset: Any, path: Any, **options: Any) -> None:
        if dataset.Modality == "SR":
            raise OSError(28, "No space left on device")
        save(dataset, path, **options)

    monkeypatch.setattr(pydicom.dataset.Dataset, "save_as", full)
    with pytest.raises(InputError, match="No space left"):
        write_dicom(tmp_path / "dyn", result(affine), heat, tmp_path / "out", MODEL)
    assert not list((tmp_path / "out").iterdir())


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'breast-bundles\[dicom\]'"):
        write_dicom(tmp_path, {}, None, tmp_path, MODEL)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed (Debian: dicom3tools)")
@pytest.mark.parametrize("name", [*AFFINES, "mammograms"])
def test_dciodvfy_finds_no_error(name: str, tmp_path: Path, make_series: Any, make_mammogram: Any) -> None:
    header = {"StudyTime": "120000", "StudyID": "1", "PatientSex": "F", "PatientBirthDate": "19500101"}
    paths = (of_mammograms(tmp_path, make_mammogram) if name == "mammograms" else
             answered(tmp_path, make_series, name, **header))
    for path in paths:
        told = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        lines = (told.stdout + told.stderr).splitlines()
        assert [line for line in lines if line.startswith("Error")] == []
        assert [line for line in lines if line.startswith("Warning") and not any(word in line for word in KNOWN)] == []
        assert any(line in ("ParametricMap", "Segmentation", "Comprehensive3DSR", "SCImage") for line in lines)
