"""An answer's numbers as DICOM: a Comprehensive 3D SR by template 1500, one group of measurements a finding.

Probabilities are in percent, as DICOM's templates of computer-aided detection have them; places are points in the
source's frame of reference (LPS mm), of mammograms regions in pixels of their image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from pipeline.serve.dicom_study import MAKER, NOTICE, Model, Source

SCHEME = "99BREASTBUNDLES"  # of what DICOM has no code for
_PROCEDURE = {"MR": codes.SCT.MRIOfBreast, "US": codes.SCT.UltrasonographyOfBreast, "MG": codes.SCT.Mammography}
_SIDE = {"L": codes.SCT.Left, "R": codes.SCT.Right}
_LPS = np.array([-1.0, -1.0, 1.0])  # from RAS


def report(source: Source, result: Mapping[str, Any], model: Model,
           peak: tuple[int, int, int] | None = None) -> Dataset:
    """The report of an answer.

    Args:
        source: what was asked about; of mammograms, in the order of the answer's `images`.
        result: as the bundles' inference gives it: `type`, `probability`, and what belongs to it.
        model: what gave it.
        peak: column, row and slice of the map's peak, to which the exam's own group points.
    """
    groups = _Groups(source, result, model, peak)
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid=model.uid, name=f"{model.name} {model.version}",
                                                       manufacturer_name=MAKER, model_name=model.name)
    content = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device)),
        procedure_reported=_PROCEDURE.get(str(source.images[0].get("Modality")), codes.SCT.MRIOfBreast),
        imaging_measurements=groups.all(), title=codes.DCM.ImagingMeasurementReport,
        referenced_images=_library(source))
    for text in (NOTICE, *_remarks(result)):
        content[0].ContentSequence.append(hd.sr.TextContentItem(codes.DCM.Comment, text,
                                                                hd.sr.RelationshipTypeValues.CONTAINS))
    told = model.series(3, "Report")
    return hd.sr.Comprehensive3DSR(source.images, content, is_complete=True, **told)


def _library(source: Source) -> list[Dataset] | None:
    """The images for the report's library, where their headers have what it demands."""
    whole = source.grid is not None or all(
        len(image.get("PatientOrientation") or ()) == 2 and image.get("ImagerPixelSpacing") for image in source.images)
    return source.images if whole else None


def _remarks(result: Mapping[str, Any]) -> list[str]:
    """What a reader of the numbers must know, besides them."""
    remarks = list(map(str, result.get("notes", ())))
    if lesions := result.get("not_scored"):
        remarks.append(f"Not scored, another lesion is on each of their slices: {', '.join(map(str, lesions))}")
    return remarks


class _Groups:
    """The report's groups of measurements, each with the algorithm that made them."""

    def __init__(self, source: Source, result: Mapping[str, Any], model: Model,
                 peak: tuple[int, int, int] | None) -> None:
        self.source, self.result, self.peak = source, result, peak
        self.views = dict(zip(result.get("images", {}), source.images, strict=False))
        self.probability = codes.DCM.ProbabilityOfCancer
        if result.get("type") == "lesion":  # a lesion's, be it benign
            self.probability = codes.DCM.CertaintyOfFinding
        self.algorithm = hd.sr.AlgorithmIdentification(
            name=model.name, version=model.version, parameters=[NOTICE], family=codes.DCM.ArtificialIntelligence,
            manufacturer=MAKER)

    def all(self) -> list[Any]:
        """The exam's, then by lesion, candidate and view what the answer has."""
        result = self.result
        found = [self._exam()]
        found += [self._at(f"Lesion {name}", lesion) for name, lesion in result.get("lesions", {}).items()]
        found += [self._at(f"Candidate {i}", each) for i, each in enumerate(result.get("candidates", ()), start=1)]
        found += [self._view(name, image) for name, image in self.views.items()]
        return found

    def _exam(self) -> Any:
        """Of the exam and its breasts, at the map's peak or the view with the highest score: OHIF shows no report that
        has a group without a place.
        """
        breasts = [self._percent(value, side) for side, value in self.result.get("probabilities", {}).items()]
        for side, scores in self.result.get("breasts", {}).items():
            breasts += _scores(scores, side)
        told = self._common("Exam", [self._percent(self.result["probability"]),
                                     *_scores(self.result.get("exam", {})), *breasts])
        decision, region = self._decision(), self._worst()
        if region is None:
            return hd.sr.MeasurementsAndQualitativeEvaluations(**told, qualitative_evaluations=decision)
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **told, qualitative_evaluations=decision, referenced_region=region)

    def _worst(self) -> Any:
        """Where the exam is most suspicious; None where nothing says."""
        if self.peak is not None:
            column, row, number = self.peak
            return _region("POINT", [(column + 0.5, row + 0.5)], self.source.images[number])
        if not self.views:
            return None
        images = self.result["images"]
        worst = max(self.views, key=lambda name: images[name]["ensemble"])
        return self._rectangle(worst, self.views[worst])

    def _at(self, name: str, found: Mapping[str, Any]) -> Any:
        """Of a point, RAS mm."""
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._common(name, [self._percent(found["probability"])]), finding_type=codes.SCT.Lesion,
            referenced_region=hd.sr.ImageRegion3D(
                hd.sr.GraphicTypeValues3D.POINT, np.asarray(found["center_mm"], float)[None] * _LPS,
                self.source.images[0].FrameOfReferenceUID))

    def _view(self, name: str, image: Dataset) -> Any:
        """Of a mammogram's region."""
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._common(f"View {name}", _scores(self.result["images"][name]), name[:1]),
            referenced_region=self._rectangle(name, image))

    def _rectangle(self, name: str, image: Dataset) -> hd.sr.ImageRegion:
        """A view's region within its image."""
        top, left, size = self.result["images"][name]["region"]
        low, high = max(top, 0), min(top + size, int(image.Rows))
        first, last = max(left, 0), min(left + size, int(image.Columns))
        corners = [(first, low), (last, low), (last, high), (first, high), (first, low)]
        return _region("POLYLINE", corners, image)

    def _common(self, name: str, measurements: list[Any], side: str = "") -> dict[str, Any]:
        site = hd.sr.FindingSite(codes.SCT.Breast, laterality=_SIDE.get(side))
        return {"tracking_identifier": hd.sr.TrackingIdentifier(hd.UID(), name), "algorithm_id": self.algorithm,
                "finding_sites": [site], "measurements": measurements}

    def _percent(self, probability: float, side: str = "") -> hd.sr.Measurement:
        name = self.probability
        if side:
            name = _of_breast(name.value, name.meaning, side)
        percent = round(100 * float(probability), 4)
        return hd.sr.Measurement(name, percent, codes.UCUM.Percent, finding_sites=_site(side))

    def _decision(self) -> list[Any] | None:
        decision = self.result.get("decision")
        if decision is None:
            return None
        name = hd.sr.CodedConcept("decision", SCHEME, f"At threshold {100 * decision['threshold']:.2f} %")
        return [hd.sr.QualitativeEvaluation(name, codes.SCT.Positive if decision["positive"] else codes.SCT.Negative)]


def _region(kind: str, corners: Sequence[tuple[float, float]], image: Dataset) -> hd.sr.ImageRegion:
    """A place in an image, `(column, row)`; DICOM counts from the outer corner of the first pixel."""
    return hd.sr.ImageRegion(kind, np.asarray(corners, float), hd.sr.SourceImageForRegion.from_source_image(image))


def _scores(found: Mapping[str, Any], side: str = "") -> list[hd.sr.Measurement]:
    """A mammogram's, a breast's or an exam's scores: any number, the larger the more suspicious."""
    names = {name: f"{name.capitalize()} score" for name in found if name in ("holistic", "attention", "ensemble")}
    return [hd.sr.Measurement(_of_breast(name, meaning, side) if side else hd.sr.CodedConcept(name, SCHEME, meaning),
                              round(float(found[name]), 6), codes.UCUM.NoUnits, finding_sites=_site(side))
            for name, meaning in names.items()]


def _of_breast(name: str, meaning: str, side: str) -> hd.sr.CodedConcept:
    """What a number is, with the breast: viewers show names, and not the places that stand below them."""
    return hd.sr.CodedConcept(f"{name}-{side}", SCHEME, f"{meaning}, {_SIDE[side].meaning.lower()} breast")


def _site(side: str) -> list[hd.sr.FindingSite] | None:
    return [hd.sr.FindingSite(codes.SCT.Breast, laterality=_SIDE[side])] if side else None
