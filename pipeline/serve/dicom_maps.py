"""A map as DICOM: as numbers (Parametric Map), and its levels as segments (Segmentation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from pipeline.serve.dicom_study import MAKER, NOTICE, Model, Source

_COLOURS = ("#ffd24d", "#ff8a1f", "#e0201b")  # from the lowest level to the highest


def parametric_map(source: Source, heat: np.ndarray, model: Model) -> Dataset:
    """A map of numbers from 0 to 1, one frame a slice of the source.

    Args:
        source: the series; its slices are the frames, in their order.
        heat: `(columns, rows, slices)`, as of `pipeline.serve.dicom_grid.on_series`.
        model: what gave it.
    """
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="suspicion", lut_explanation="0 to 1; the peak is about the probability", unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0), slope=1.0, intercept=0.0, quantity_definition=codes.DCM.ClassActivation)
    made = hd.pm.ParametricMap(
        source.images, _frames(heat, np.float32), contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping], pixel_measures=_measures(source), content_label="SUSPICION",
        content_description=NOTICE, voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5,
                                                                                     window_width=1.0)],
        **model.series(1, "Map of suspicion"))
    _in_order(made, source)
    made.Laterality = ""  # demanded of a paired organ; an exam may show both
    return made


def _in_order(made: Dataset, source: Source) -> None:
    """Put frames into the order of the source's slices, ascending along the normal.

    highdicom orders them against the normal. OHIF 3.13 takes them in the order of the file, whatever they refer to, and
    its volumes ascend: it would show each on the slice at the other end.
    """
    number = {image.SOPInstanceUID: k for k, image in enumerate(source.images)}
    groups = list(made.PerFrameFunctionalGroupsSequence)
    at = [number[group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID] for group in groups]
    order = np.argsort(at)
    frames = np.frombuffer(made.FloatPixelData, np.float32).reshape(len(groups), -1)
    made.FloatPixelData = frames[order].tobytes()
    made.PerFrameFunctionalGroupsSequence = [groups[frame] for frame in order]
    for k, group in enumerate(made.PerFrameFunctionalGroupsSequence, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = [k]


def segmentation(source: Source, levels: np.ndarray, limits: Sequence[float], model: Model) -> Dataset | None:
    """The levels of a map as segments, none of which overlap; None where no voxel reaches the lowest.

    Args:
        source: as of `parametric_map`.
        levels: `(columns, rows, slices)`, whole numbers: 0, or the level that a voxel reached.
        limits: from which value of the map a voxel has level 1, 2 and so on.
        model: what gave the map.
    """
    if not levels.any():
        return None
    algorithm = hd.AlgorithmIdentificationSequence(
        name=model.name[:64], family=codes.DCM.ArtificialIntelligence, version=model.version[:64], source=MAKER)
    tops = [*(f"below {limit:.2f}" for limit in limits[1:]), "above"]
    described = [hd.seg.SegmentDescription(
        segment_number=i, segment_label=f"Suspicion {limit:.2f} and {top}",
        segmented_property_category=codes.SCT.SpatialAndRelationalConcept,
        segmented_property_type=codes.DCM.ClassActivation, algorithm_identification=algorithm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, anatomic_regions=[codes.SCT.Breast],
        display_color=CIELabColor.from_string(_COLOURS[min(i, len(_COLOURS)) - 1]))
        for i, (limit, top) in enumerate(zip(limits, tops, strict=True), start=1)]
    return hd.seg.Segmentation(
        source.images, _frames(levels, np.uint8), hd.seg.SegmentationTypeValues.BINARY, described,
        pixel_measures=_measures(source), content_label="LEVELS", content_description=NOTICE,
        **model.series(2, "Levels of suspicion"))


def levels_of(heat: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """The level that each voxel reached, 0 for none, uint8; a map of whole numbers has them already."""
    if heat.dtype.kind != "f":
        return heat.astype(np.uint8)
    return sum((heat >= limit for limit in limits), np.zeros(heat.shape, np.uint8))


def _frames(volume: np.ndarray, kind: Any) -> np.ndarray:
    """`(slices, rows, columns)`."""
    return np.ascontiguousarray(volume.T, kind)


def _measures(source: Source) -> hd.PixelMeasuresSequence:
    """Spacing as the places of the slices have it: headers may leave it out, or name a thickness only."""
    assert source.grid is not None
    across, down, apart = (float(step) for step in source.grid.spacing.round(6))
    thick = float(source.images[0].SliceThickness)
    return hd.PixelMeasuresSequence(pixel_spacing=(down, across), slice_thickness=thick, spacing_between_slices=apart)
