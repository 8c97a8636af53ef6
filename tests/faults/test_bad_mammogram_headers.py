"""Mammograms whose headers or grey values do not belong to the exam: refused where the exam is answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from pipeline.datalist import load
from pipeline.errors import InputError
from pipeline.mammography.answer_exams import find
from pipeline.verify import verify
from pipeline.verify.gate import CheckExamd
from transforms import LoadViews
from transforms.mammography.reading import is_inverted


def answer(folder: Path) -> list[str]:
    """As inference does, up to the network; returns the notes."""
    return [note for exam in find(folder) for note in
            CheckExamd("image", "MG")(LoadViews()(exam))["notes"].splitlines()]


@pytest.fixture
def exam(mammography_cohort, tmp_path) -> Path:
    """One DICOM exam of four views that all say the same of themselves."""
    datalist = load(mammography_cohort.list)
    found = next(e for e in datalist.exams if e.images["L-CC"].endswith("dcm"))
    (tmp_path / "E7").mkdir()
    for view, path in found.images.items():
        shutil.copy(datalist.root / path, tmp_path / "E7" / f"{view}.dcm")
        header(view, PatientID="P7", StudyInstanceUID="1.2.3",
               PresentationIntentType="FOR PRESENTATION")(tmp_path / "E7")
    return tmp_path / "E7"


def header(view: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = pydicom.dcmread(folder / f"{view}.dcm")
        for name, value in values.items():
            setattr(data, name, value)
        data.save_as(folder / f"{view}.dcm")
    return change


def inverted(folder: Path) -> None:
    data = pydicom.dcmread(folder / "L-CC.dcm")
    pixels = data.pixel_array
    data.PixelData = (pixels.max() - pixels).astype(pixels.dtype).tobytes()
    data.save_as(folder / "L-CC.dcm")


FAULTS = {
    "for processing among for presentation": (header("R-CC", PresentationIntentType="FOR PROCESSING"), "R-CC.dcm: its "
                                              "pixels are FOR PROCESSING, unlike those of the exam's other files"),
    "another study": (header("L-CC", StudyInstanceUID="1.2.4"), "L-CC.dcm: of another study than"),
    "another patient": (header("L-CC", PatientID="P8"), "L-CC.dcm: of another patient than"),
    "a negative slope": (header("L-MLO", RescaleSlope="-1", RescaleIntercept="4095"),
                         "L-MLO.dcm: its rescale slope is not above 0, which inverts the grey scale"),
    "an inverted picture": (inverted, "L-CC.dcm: its background is bright, so the grey scale is inverted"),
    "called the other polarity": (header("L-CC", PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=None),
                                  "L-CC.dcm: its background is bright"),
    "pixels of 4 giga": (header("L-CC", Rows=65535, Columns=65535), "L-CC.dcm: 65535 × 65535 pixels are more than"),
}


def test_a_sound_exam_passes(exam) -> None:
    assert answer(exam) == []


@pytest.mark.parametrize("name", FAULTS)
def test_the_odd_file_is_named(exam, name) -> None:
    damage, line = FAULTS[name]
    damage(exam)
    with pytest.raises(InputError) as caught:
        answer(exam)
    assert line in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert "P7" not in str(caught.value) and "1.2.4" not in str(caught.value)


@pytest.mark.parametrize("name", ["another study", "another patient", "for processing among for presentation",
                                  "an inverted picture"])
def test_verification_finds_the_same(exam, name, mammography_cohort) -> None:
    datalist = load(mammography_cohort.list)
    datalist.exams, datalist.root = [e for e in datalist.exams if e.images["L-CC"].endswith("dcm")][:1], exam
    datalist.exams[0].images = {view: f"{view}.dcm" for view in datalist.exams[0].images}
    FAULTS[name][0](exam)
    view = "R-CC" if "processing" in name else "L-CC"
    assert [it.image for it in verify(datalist) if it.severity == "error" and it.image] == [view]


def test_a_bright_background_is_told_from_a_breast_that_fills_the_picture(mammography_cohort) -> None:
    datalist = load(mammography_cohort.list)
    for exam in [e for e in datalist.exams if e.images["L-CC"].endswith("png")][:4]:
        for view in exam.images:
            pixels = np.asarray(Image.open(datalist.path(exam, view))).astype(np.float32)
            assert not is_inverted(pixels) and is_inverted(pixels.max() - pixels)
    full = np.random.default_rng(0).uniform(900, 1100, (100, 80)).astype(np.float32)
    assert not is_inverted(full)
