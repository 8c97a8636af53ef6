"""The AMBL converter: lesions known by side and slice, outlines where there are any, phases of one series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.verify import verify
from transforms.load import read_image

SHAPE = (20, 16, 8)
AFFINE = np.array([[-8.0, 0, 0, 76.0], [0, -8.0, 0, 60.0], [0, 0, 4.0, -20.0], [0, 0, 0, 1]])  # x: 76 … -76
HEADER = ["Patient ID#", "BIRADS", "tumor/benign1", "pathology1", "POS1", None, "tumor/benign2", "pathology2", "POS2",
          "PR  [%] 2"]


def location(k: int) -> float:
    """SliceLocation of a slice: against z, and shifted, as scanners' table positions are."""
    return round(3.25 - 4.0 * k, 2)


def write_patient(root: Path, make_series: Callable[..., str], patient: str, mask: str | None, phases: int = 3) -> Path:
    """The dynamic series (phases in reversed order of names), registered and not, and MASK acquired at a time."""
    study = root / "manifest-1" / "Advanced-MRI-Breast-Lesions" / patient / "01-01-2019-NA-MRI BREASTS - Delayed-1"
    base = np.random.default_rng(3).integers(0, 900, SHAPE).astype(np.int16)
    places = [location(k) for k in range(SHAPE[2])]
    for n, kind in enumerate(("AX Sen Vibrant MultiPhase", "Registered AX Sen Vibrant MultiPhase")):
        for k in range(phases):
            make_series(study / f"{n}-series", base + np.int16(100 * k + n), AFFINE, first=1 + 1000 * (phases - k),
                        SeriesInstanceUID=f"1.{int(patient[5:])}.{n}", SeriesDescription=kind,
                        AcquisitionNumber=k + 1, AcquisitionTime=f"10{10 + 2 * k}00",
                        SliceLocation=places, shuffle=k + 1)
    if mask is not None:
        make_series(study / "7-mask", base - np.int16(5), AFFINE, SeriesDescription="AX Sen Vibrant MASK", shuffle=4,
                    AcquisitionTime=mask, SliceLocation=places)
    return study


def write_seg(folder: Path, spots: dict[int, list[tuple[int, tuple[slice, slice]]]]) -> None:
    """A SEG whose frames (slice, (rows, columns)) of each segment come in no order."""
    folder.mkdir()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = pydicom.uid.SegmentationStorage, "1.9"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = FileDataset("x", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID, file.SeriesInstanceUID = meta.MediaStorageSOPClassUID, "1.9", "1.8"
    file.Modality, file.SeriesDescription = "SEG", "ROI"
    measures, turned, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [8.0, 8.0], 4.0
    turned.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turned]
    frames, about = [], []
    for segment, where in sorted(spots.items(), reverse=True):
        for k, (rows, columns) in reversed(where):
            frame = np.zeros((SHAPE[1], SHAPE[0]), np.uint8)
            frame[rows, columns] = 1
            frames.append(frame)
            place, number, group = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [float(v) for v in (AFFINE @ [0, 0, k, 1])[:3] * [-1, -1, 1]]
            number.ReferencedSegmentNumber = segment
            group.PlanePositionSequence, group.SegmentIdentificationSequence = [place], [number]
            about.append(group)
    file.SharedFunctionalGroupsSequence, file.PerFrameFunctionalGroupsSequence = [shared], about
    file.NumberOfFrames, (file.Rows, file.Columns) = len(frames), frames[0].shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated = file.BitsStored = 1
    file.HighBit = 0
    bits = np.packbits(np.stack(frames).ravel(), bitorder="little").tobytes()
    file.PixelData = bits + b"\0" * (len(bits) % 2)
    file.save_as(folder / "1-1.dcm", enforce_file_format=True)


def write_table(root: Path, rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    book.active.title = "MRI BREASTS with Delay"
    for row in (["", "lesions"], HEADER, *rows):
        book.active.append(row)
    book.save(root / "Advanced-MRI-Breast-Lesions-DA-Clinical-Sep2024.xlsx")


@pytest.fixture
def ambl(tmp_path: Path, make_series: Callable[..., str]) -> Path:
    """Patient 1: outlines and a MASK before; 2: a MASK that is the first phase; the others: no MASK, no lesion."""
    root = tmp_path / "ambl"
    study = write_patient(root, make_series, "AMBL-001", "100500")
    write_seg(study / "8-roi", {1: [(2, (slice(4, 7), slice(3, 6)))],
                                2: [(5, (slice(8, 9), slice(14, 17))), (6, (slice(8, 9), slice(14, 17)))]})
    write_patient(root, make_series, "AMBL-002", "100955")
    for k in (3, 4, 5):
        write_patient(root, make_series, f"AMBL-00{k}", None)
    write_table(root, [["AMBL-001", 5, 1, 1, f"R{location(2):.2f}", None, 0, 11, f"L{location(5):.2f}", 20],
                       ["AMBL-002", 4, 0, 11, f"l{location(1):.2f}", "note", -1, -1, -1, -1],
                       *[[f"AMBL-00{k}", 2, -1, -1, -1, None, -1, -1, -1, -1] for k in (3, 4, 5)]])
    return root


def convert(root: Path, *options: str) -> int:
    return main(["ambl", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_outlines_become_centres_and_others_keep_side_and_height(ambl: Path) -> None:
    assert convert(ambl) == 0
    found = exams(ambl)
    first, second = found["AMBL-001"].lesions
    # By hand: columns 3-5, rows 4-6 of slice 2: index (4, 5, 2); columns 14-16, row 8, slices 5 and 6: (15, 8, 5.5).
    assert first.center_mm == pytest.approx((AFFINE @ [4, 5, 2, 1])[:3], abs=1e-3)
    assert first.size_mm == (24.0, 24.0, 4.0)
    assert second.center_mm == pytest.approx((AFFINE @ [15, 8, 5.5, 1])[:3], abs=1e-3)
    assert second.size_mm == (24.0, 8.0, 8.0) and (first.side, second.side) == ("R", "L")
    assert (first.malignant, second.malignant) == (1, 0)
    lesion = found["AMBL-002"].lesions[0]
    assert lesion.center_mm == (None, None, AFFINE[2, 3] + 4.0) and lesion.point is None and lesion.malignant == 0
    assert found["AMBL-001"].breasts == {"L": {"malignant": 0, "benign": 1}, "R": {"malignant": 1, "benign": 0}}
    assert found["AMBL-002"].breasts["R"] == {"malignant": None, "benign": None} and not found["AMBL-003"].lesions


def test_phases_are_volumes_of_the_registered_series_in_time(ambl: Path) -> None:
    assert convert(ambl) == 0
    datalist, found = load(ambl.parent / "list.json"), exams(ambl)
    assert list(found["AMBL-001"].images) == ["pre", "post1", "post2", "post3"]  # MASK came earlier
    assert list(found["AMBL-002"].images) == ["pre", "post1", "post2"]  # MASK is the first phase
    assert found["AMBL-002"].images["pre"].endswith("#:1")
    base = read_image(datalist.path(found["AMBL-001"], "pre")).array.astype(int)
    for k in (1, 2, 3):
        phase = read_image(datalist.path(found["AMBL-001"], f"post{k}")).array
        assert (phase - base == 5 + 100 * (k - 1) + 1).all()
    assert not [issue for issue in verify(datalist) if issue.severity == "error"]
    assert convert(ambl, "--series", "original") == 0
    assert exams(ambl)["AMBL-001"].lesions[0].point is None, "outlines fit the registered series only"


def test_without_times_the_user_says_what_comes_first(ambl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ambl.rglob("*.dcm"):
        file = pydicom.dcmread(path)
        if "AcquisitionTime" in file:
            del file.AcquisitionTime
            file.save_as(path)
    assert convert(ambl) == 2
    assert "AMBL-001: nothing tells whether" in capsys.readouterr().err
    assert convert(ambl, "--first", "post1") == 0
    assert list(exams(ambl)["AMBL-002"].images) == ["pre", "post1", "post2", "post3"]


@pytest.mark.parametrize(("row", "text"), [
    (["AMBL-001", 5, 2, 1, "R1", None], "row 3: `tumor/benign1` is neither 0, 1"),
    (["AMBL-001", 5, 1, 1, "23.45", None], "row 3: `POS1` is not like R23.45"),
    (["AMBL-001", 5, 1, 1, None, None], "row 3: `pos1` is empty"),
    (["Jane Doe", 5, 1, 1, "R1", None], "row 3: `Patient ID#` is not like AMBL-001"),
    (["AMBL-077", 5, 1, 1, "R1", None], "1 of 1 listed images are not there, the first is AMBL-077"),
])
def test_what_is_refused_in_one_line(ambl: Path, capsys: pytest.CaptureFixture[str], row: Any, text: str) -> None:
    write_table(ambl, [row])
    assert convert(ambl) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert text in error and "Jane" not in error


def test_a_missing_slice_names_the_patient(ambl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next((ambl / "manifest-1").rglob("1-series/1-*.dcm")).unlink()
    assert convert(ambl) == 2
    assert "AMBL-00" in (error := capsys.readouterr().err) and "slices are missing or doubled" in error
