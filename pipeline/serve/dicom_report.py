"""An answer's numbers as DICOM: a Comprehensive 3D SR by template 1500, one group of measurements a finding.

Probabilities are in percent, as DICOM's templates of computer-aided detection have them; places are points in the
source's frame of reference (LPS mm), of mammograms regions in pixels of their image.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def report(source: Source, result: Mapping[str, Any], model: Model) -> Dataset:
    """The report of an answer.

    Args:
        source: what was asked about; of mammograms, in the order of the answer's `images`.
        result: as the bundles' inference gives it: `type`, `probability`, and what belongs to it.
        model: what gave it.
    """
    groups = _Groups(source, result, model)
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

    def __init__(self, source: Source, result: Mapping[str, Any], model: Model) -> None:
        self.source, self.result = source, result
        self.probability = codes.DCM.ProbabilityOfCancer
        if result.get("type") == "lesion":  # a lesion's, be it benign
            self.probability = codes.DCM.CertaintyOfFinding
        self.algorithm = hd.sr.AlgorithmIdentification(
            name=model.name, version=model.version, parameters=[NOTICE], family=codes.DCM.ArtificialIntelligence,
            manufacturer=MAKER)

    def all(self) -> list[Any]:
        """The exam's, then by side, lesion, candidate and view what the answer has."""
        result = self.result
        found = [self._whole("Exam", [self._percent(result["probability"]), *_scores(result.get("exam", {}))],
                             self._decision())]
        found += [self._whole(f"Breast {side}", [self._percent(value)], side=side)
                  for side, value in result.get("probabilities", {}).items()]
        found += [self._whole(f"Breast {side}", _scores(scores), side=side)
                  for side, scores in result.get("breasts", {}).items()]
        found += [self._at(f"Lesion {name}", lesion) for name, lesion in result.get("lesions", {}).items()]
        found += [self._at(f"Candidate {i}", each) for i, each in enumerate(result.get("candidates", ()), start=1)]
        views = result.get("images", {})
        found += [self._view(name, image, views[name]) for name, image in zip(views, self.source.images, strict=False)]
        return found

    def _whole(self, name: str, measurements: list[Any], decision: list[Any] | None = None, side: str = "") -> Any:
        """Of the exam, or of a breast: no place."""
        images = self.source.images if self.source.grid is None else []
        if side:
            images = [image for view, image in zip(self.result.get("images", {}), images, strict=False)
                      if view.startswith(side)]
        return hd.sr.MeasurementsAndQualitativeEvaluations(
            **self._common(name, measurements, side), qualitative_evaluations=decision,
            source_images=list(map(hd.sr.SourceImageForMeasurementGroup.from_source_image, images)))

    def _at(self, name: str, found: Mapping[str, Any]) -> Any:
        """Of a point, RAS mm."""
        place = np.asarray(found["center_mm"], float)[None] * _LPS
        region = hd.sr.ImageRegion3D(hd.sr.GraphicTypeValues3D.POINT, place, self.source.images[0].FrameOfReferenceUID)
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._common(name, [self._percent(found["probability"])]), referenced_region=region,
            finding_type=codes.SCT.Lesion)

    def _view(self, name: str, image: Dataset, found: Mapping[str, Any]) -> Any:
        """Of a mammogram's region; DICOM counts pixels from the corner of the first."""
        top, left, size = found["region"]
        low, high = max(top, 0), min(top + size, int(image.Rows))
        first, last = max(left, 0), min(left + size, int(image.Columns))
        corners = [(first, low), (last, low), (last, high), (first, high), (first, low)]
        region = hd.sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, np.asarray(corners, float),
                                   hd.sr.SourceImageForRegion.from_source_image(image))
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            **self._common(f"View {name}", _scores(found), name[:1]), referenced_region=region)

    def _common(self, name: str, measurements: list[Any], side: str = "") -> dict[str, Any]:
        site = hd.sr.FindingSite(codes.SCT.Breast, laterality=_SIDE.get(side))
        return {"tracking_identifier": hd.sr.TrackingIdentifier(hd.UID(), name), "algorithm_id": self.algorithm,
                "finding_sites": [site], "measurements": measurements}

    def _percent(self, probability: float) -> hd.sr.Measurement:
        return hd.sr.Measurement(self.probability, round(100 * float(probability), 4), codes.UCUM.Percent)

    def _decision(self) -> list[Any] | None:
        decision = self.result.get("decision")
        if decision is None:
            return None
        name = hd.sr.CodedConcept("decision", SCHEME, f"At threshold {100 * decision['threshold']:.2f} %")
        return [hd.sr.QualitativeEvaluation(name, codes.SCT.Positive if decision["positive"] else codes.SCT.Negative)]


def _scores(found: Mapping[str, Any]) -> list[hd.sr.Measurement]:
    """A mammogram's, a breast's or an exam's scores: any number, the larger the more suspicious."""
    return [hd.sr.Measurement(hd.sr.CodedConcept(name, SCHEME, f"{name.capitalize()} score"), round(float(value), 6),
                              codes.UCUM.NoUnits)
            for name, value in found.items() if name in ("holistic", "attention", "ensemble")]
