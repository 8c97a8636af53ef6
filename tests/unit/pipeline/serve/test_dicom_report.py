"""The report of an answer: read back by what the standard says of its tree, not by the library that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_answers import AFFINES, FRAME, centre_ras, result, views, write_exam

from pipeline.serve.dicom_study import Model, read_series, read_views

pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")

from pipeline.serve import dicom_report

MODEL = Model("breast_mri_curriculum", "0.1.0")


def code(item: Any, sequence: str = "ConceptNameCodeSequence") -> str:
    return str(item[sequence][0].CodeValue)


def told(item: Any, name: str) -> list[Any]:
    """Children of a node by the code of their name."""
    return [each for each in item.get("ContentSequence", ()) if code(each) == name]


def groups(report: Any) -> dict[str, Any]:
    """Groups of measurements (125007) of the imaging measurements (126010) by their tracking identifier (112039)."""
    found = told(told(report, "126010")[0], "125007")
    return {told(group, "112039")[0].TextValue: group for group in found}


def number(group: Any, name: str, unit: str) -> float:
    item, = told(group, name)
    value = item.MeasuredValueSequence[0]
    assert value.MeasurementUnitsCodeSequence[0].CodeValue == unit
    return float(value.NumericValue)


@pytest.fixture
def written(tmp_path: Path, make_series: Any) -> tuple[Any, np.ndarray]:
    write_exam(make_series, tmp_path / "dyn", AFFINES["oblique"])
    centre = centre_ras(AFFINES["oblique"])
    made = dicom_report.report(read_series(tmp_path / "dyn"), result(AFFINES["oblique"]), MODEL, (9, 3, 2))
    made.save_as(tmp_path / "sr.dcm")
    return pydicom.dcmread(tmp_path / "sr.dcm"), centre


def test_probabilities_of_exam_breasts_and_lesions(written: tuple[Any, np.ndarray]) -> None:
    report, centre = written
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34" and code(report) == "126000"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    found = groups(report)
    assert list(found) == ["Exam", "Lesion 1"]
    for name in found:
        assert number(found[name], "111047", "%") == pytest.approx(95.0)  # probability of cancer
    point, = told(found["Lesion 1"], "111030")
    assert (point.ValueType, point.GraphicType, point.ReferencedFrameOfReferenceUID) == ("SCOORD3D", "POINT", FRAME)
    assert np.allclose(point.GraphicData, centre * [-1, -1, 1], atol=1e-3)
    peak, = told(found["Exam"], "111030")
    assert (peak.ValueType, list(peak.GraphicData)) == ("SCOORD", [9.5, 3.5])  # the middle of a pixel
    seen = told(told(told(report, "111028")[0], "126200")[0], "260753009")[2]  # the library's slices, the third
    assert (peak.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            == seen.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    for side, word, percent in (("L", "Left", 95.0), ("R", "Right", 3.12)):
        assert number(found["Exam"], f"111047-{side}", "%") == pytest.approx(percent)
        breast, = told(found["Exam"], f"111047-{side}")
        assert breast.ConceptNameCodeSequence[0].CodeMeaning == f"Probability of cancer, {word.lower()} breast"
        assert told(told(breast, "363698007")[0], "272741003")[0].ConceptCodeSequence[0].CodeMeaning == word


def test_where_nothing_is_hot_the_exam_has_no_place(tmp_path: Path, make_series: Any) -> None:
    write_exam(make_series, tmp_path / "dyn", AFFINES["axial"])
    exam = groups(dicom_report.report(read_series(tmp_path / "dyn"), {"probability": 0.0}, MODEL))["Exam"]
    assert told(exam, "111030") == [] and number(exam, "111047", "%") == 0


def test_it_says_what_made_it_and_what_it_is_not_for(written: tuple[Any, np.ndarray]) -> None:
    report, _ = written
    comments = [each.TextValue for each in told(report, "121106")]
    assert comments == ["Research only. Not for clinical use.", "the header is in metres",
                        "Not scored, another lesion is on each of their slices: 7"]
    assert [each.UID for each in told(report, "121012")] == [MODEL.uid]  # the observer is a device
    for group in groups(report).values():
        assert told(group, "111001")[0].TextValue == MODEL.name and told(group, "111003")[0].TextValue == "0.1.0"
        assert told(group, "111002")[0].TextValue == "Research only. Not for clinical use."
    decision, = told(groups(report)["Exam"], "decision")
    assert decision.ConceptNameCodeSequence[0].CodeMeaning == "At threshold 40.00 %"
    assert decision.ConceptCodeSequence[0].CodeMeaning == "Positive"
    assert report.VerificationFlag == "UNVERIFIED" and "research only" in report.SeriesDescription


def test_it_refers_to_every_slice(written: tuple[Any, np.ndarray], tmp_path: Path) -> None:
    report, _ = written
    slices = {pydicom.dcmread(path).SOPInstanceUID for path in (tmp_path / "dyn").iterdir()}
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert {each.ReferencedSOPInstanceUID for each in evidence} == slices and len(slices) == 6


def test_candidates_are_lesions_with_a_certainty_not_cancers(tmp_path: Path, make_series: Any) -> None:
    write_exam(make_series, tmp_path / "us", AFFINES["axial"], Modality="US")
    answer = {"type": "lesion", "probability": 0.7, "candidates": [{"center_mm": [1, 2, 3], "probability": 0.7}]}
    report = dicom_report.report(read_series(tmp_path / "us"), answer, MODEL)
    found = groups(report)
    assert list(found) == ["Exam", "Candidate 1"] and number(found["Exam"], "111012", "%") == pytest.approx(70)
    assert told(found["Candidate 1"], "111030")[0].GraphicData == [-1, -2, 3]
    assert told(report, "121058")[0].ConceptCodeSequence[0].CodeMeaning == "Ultrasonography of breast"


@pytest.mark.parametrize("whole", [True, False])
def test_mammograms_have_a_region_in_each_image(whole: bool, tmp_path: Path, make_mammogram: Any) -> None:
    header = {"PatientOrientation": ["A", "L"], "ImagerPixelSpacing": [0.1, 0.1]} if whole else {}
    for side in "LR":
        make_mammogram(tmp_path / f"{side}-CC.dcm", side, StudyInstanceUID="1.2.3", PatientID="SECRET", **header)
    source = read_views([tmp_path / "L-CC.dcm", tmp_path / "R-CC.dcm"])
    report = dicom_report.report(source, views(), MODEL)
    found = groups(report)
    assert list(found) == ["Exam", "View L-CC", "View R-CC"]
    assert number(found["Exam"], "111047", "%") == pytest.approx(60)
    assert number(found["View R-CC"], "ensemble", "1") == -2.0 and number(found["Exam"], "attention-L", "1") == 1.25
    assert told(found["Exam"], "111030")[0].GraphicData == told(found["View L-CC"], "111030")[0].GraphicData  # 0.825
    for name, image, corners in (("L", source.images[0], [0, 10, 30, 10, 30, 40, 0, 40, 0, 10]),
                                 ("R", source.images[1], [25, 5, 40, 5, 40, 35, 25, 35, 25, 5])):  # cut to 40 columns
        region, = told(found[f"View {name}-CC"], "111030")
        assert region.GraphicType == "POLYLINE" and list(region.GraphicData) == corners
        assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert bool(told(report, "111028")) == whole  # the image library
