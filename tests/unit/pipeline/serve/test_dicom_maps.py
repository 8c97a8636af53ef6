"""Maps and levels as DICOM: a planted block is where it was, by highdicom, by the bytes, and by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_answers import AFFINES, BLOCK, FRAME, STEPS, centre_ras, write_exam

from pipeline.serve.dicom_grid import on_series
from pipeline.serve.dicom_study import Model, read_series

hd = pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")

from pipeline.serve import dicom_maps  # noqa: E402

MODEL = Model("breast_mri_curriculum", "0.1.0")
LIMITS = (0.5, 0.75, 0.9)


def centroid(weights: np.ndarray, places: np.ndarray, orientation: Any, spacing: Any) -> np.ndarray:
    """Centroid in LPS mm of frames `(frames, rows, columns)`, by the definition of DICOM (C.7.6.2.1.1), frame by frame.

    Args:
        weights: the frames.
        places: `(frames, 3)`, position of each frame's first pixel.
        orientation: the direction of the rows, then of the columns.
        spacing: of rows, then of columns.
    """
    along, down = np.asarray(orientation, float).reshape(2, 3)
    total = np.zeros(3)
    for frame, place in zip(weights, places, strict=True):
        for row, column in zip(*np.nonzero(frame), strict=True):
            total += frame[row, column] * (place + along * float(spacing[1]) * column + down * float(spacing[0]) * row)
    return total / weights.sum()


def of_file(dataset: Any, frames: np.ndarray) -> np.ndarray:
    """`centroid` of a multi-frame object by its functional groups."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    places = np.array([item.PlanePositionSequence[0].ImagePositionPatient
                       for item in dataset.PerFrameFunctionalGroupsSequence], float)
    return centroid(frames, places, shared.PlaneOrientationSequence[0].ImageOrientationPatient,
                    shared.PixelMeasuresSequence[0].PixelSpacing)


def by_nibabel(folder: Path) -> np.ndarray:
    """Centroid of a series' bright voxels as nibabel's own reading of DICOM places them, LPS mm."""
    from nibabel.nicom.dicomwrappers import wrapper_from_file

    places, weights = [], []
    for path in folder.iterdir():
        one = wrapper_from_file(path)
        data = one.get_data()
        at = np.argwhere(data > 0)
        places += [*(at @ one.affine[:3, :2].T + one.affine[:3, 3])]
        weights += [*data[data > 0]]
    return np.average(places, axis=0, weights=weights)


@pytest.mark.parametrize("name", AFFINES)
def test_the_block_is_where_it_was(name: str, tmp_path: Path, make_series: Any) -> None:
    heat, affine = write_exam(make_series, tmp_path / "dyn", AFFINES[name])
    source = read_series(tmp_path / "dyn")
    turned = on_series(heat.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]], source.grid)  # a map with other axes
    dicom_maps.parametric_map(source, turned, MODEL).save_as(tmp_path / "map.dcm")
    levels = dicom_maps.levels_of(turned, LIMITS)
    dicom_maps.segmentation(source, levels, LIMITS, MODEL).save_as(tmp_path / "levels.dcm")

    block = np.indices([part.stop - part.start for part in BLOCK]).reshape(3, -1).T + [part.start for part in BLOCK]
    world = (AFFINES[name][:3, :3] @ block.T).T + AFFINES[name][:3, 3]
    weight = np.where(block[:, 0] == BLOCK[0].start, 0.6, 0.95)
    expected = np.average(world, axis=0, weights=weight) * [-1, -1, 1]

    file = hd.imread(tmp_path / "map.dcm")
    frames = np.frombuffer(file.FloatPixelData, "<f4").reshape(file.NumberOfFrames, file.Rows, file.Columns)
    assert np.allclose(of_file(file, frames), expected, atol=0.01)
    volume = file.get_volume()  # highdicom's own way, in LPS, values mapped
    index = np.argwhere(volume.array > 0)
    places = volume.map_indices_to_reference(index)
    assert np.allclose(np.average(places, axis=0, weights=volume.array[tuple(index.T)]), expected, atol=0.01)
    assert volume.array.max() == np.float32(0.95) and file.FrameOfReferenceUID == FRAME
    assert np.allclose(sorted(volume.spacing), sorted(STEPS), atol=1e-4)

    seg = hd.seg.segread(tmp_path / "levels.dcm")
    assert seg.number_of_segments == 3 and set(np.unique(levels)) == {0, 1, 3}
    hot = of_file(seg, _frames_of(seg, 3))
    assert np.allclose(hot, world[weight == 0.95].mean(0) * [-1, -1, 1], atol=0.01)
    cool = of_file(seg, _frames_of(seg, 1))
    assert np.allclose(cool, world[weight == 0.6].mean(0) * [-1, -1, 1], atol=0.01)

    seen = by_nibabel(tmp_path / "dyn")  # the source's own block: 800 and 400 for 0.95 and 0.6
    assert np.abs(seen - expected).max() < STEPS.min() / 2
    assert np.abs(seen - centre_ras(AFFINES[name]) * [-1, -1, 1]).max() < STEPS.max()


def _frames_of(seg: Any, number: int) -> np.ndarray:
    """All frames, those of other segments empty."""
    frames = seg.pixel_array.astype(float)
    for frame, item in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        frame *= item.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
    return frames


def test_each_frame_names_the_slice_that_it_was_made_of(tmp_path: Path, make_series: Any) -> None:
    import pydicom

    heat, _ = write_exam(make_series, tmp_path / "dyn", AFFINES["oblique"])
    source = read_series(tmp_path / "dyn")
    files = {each.SOPInstanceUID: each for each in map(pydicom.dcmread, (tmp_path / "dyn").iterdir())}
    for made in (dicom_maps.parametric_map(source, heat, MODEL),
                 dicom_maps.segmentation(source, dicom_maps.levels_of(heat, LIMITS), LIMITS, MODEL)):
        for item in made.PerFrameFunctionalGroupsSequence:
            slices = item.DerivationImageSequence[0].SourceImageSequence
            place = files[slices[0].ReferencedSOPInstanceUID].ImagePositionPatient
            assert len(slices) == 1 and np.allclose(item.PlanePositionSequence[0].ImagePositionPatient, place)
        assert made.StudyInstanceUID == source.images[0].StudyInstanceUID
        assert made.SeriesInstanceUID != source.images[0].SeriesInstanceUID
        assert made.ContentDescription == "Research only. Not for clinical use."


@pytest.mark.parametrize("name", ["axial", "reversed", "coronal"])
def test_frames_of_a_map_ascend_along_the_normal(name: str, tmp_path: Path, make_series: Any) -> None:
    heat, _ = write_exam(make_series, tmp_path / "dyn", AFFINES[name])
    made = dicom_maps.parametric_map(read_series(tmp_path / "dyn"), heat, MODEL)
    along, down = np.reshape(made.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient,
                             (2, 3)).astype(float)
    items = made.PerFrameFunctionalGroupsSequence
    heights = [float(np.cross(along, down) @ np.array(item.PlanePositionSequence[0].ImagePositionPatient, float))
               for item in items]
    assert heights == sorted(heights) and len(items) == 6
    assert [item.FrameContentSequence[0].DimensionIndexValues for item in items] == [1, 2, 3, 4, 5, 6]
    assert np.array_equal(np.frombuffer(made.FloatPixelData, "<f4").reshape(6, 12, 14), heat.T)


def test_numbers_are_mapped_to_themselves_and_levels_do_not_overlap(tmp_path: Path, make_series: Any) -> None:
    write_exam(make_series, tmp_path / "dyn", AFFINES["axial"])
    source = read_series(tmp_path / "dyn")
    heat = np.random.default_rng(1).random((14, 12, 6)).astype(np.float32)
    made = dicom_maps.parametric_map(source, heat, MODEL)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == 1.0 and made.ContentQualification == "RESEARCH"
    levels = dicom_maps.levels_of(heat, LIMITS)
    assert [int((levels == k).sum()) for k in range(4)] == [int(((heat >= low) & (heat < high)).sum()) for low, high in
                                                           ((0, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 2))]
    assert np.array_equal(dicom_maps.levels_of(levels, LIMITS), levels)
    seg = dicom_maps.segmentation(source, levels, LIMITS, MODEL)
    assert [each.SegmentLabel for each in seg.SegmentSequence] == [
        "Suspicion 0.50 and below 0.75", "Suspicion 0.75 and below 0.90", "Suspicion 0.90 and above"]
    assert seg.SegmentsOverlap == "NO"
    assert seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == MODEL.name


def test_a_map_that_reaches_no_level_has_no_segments(tmp_path: Path, make_series: Any) -> None:
    heat, _ = write_exam(make_series, tmp_path / "dyn", AFFINES["axial"])
    assert dicom_maps.segmentation(read_series(tmp_path / "dyn"), np.zeros(heat.shape, np.uint8), LIMITS, MODEL) is None


def test_one_slice_and_a_header_without_thickness(tmp_path: Path, make_series: Any) -> None:
    make_series(tmp_path / "one", np.ones((14, 12, 1), np.int16), AFFINES["axial"], FrameOfReferenceUID=FRAME)
    for path in (tmp_path / "one").iterdir():
        import pydicom

        file = pydicom.dcmread(path)
        file.SliceThickness, file.SpacingBetweenSlices = None, 2.5
        file.save_as(path)
    made = dicom_maps.parametric_map(read_series(tmp_path / "one"), np.full((14, 12, 1), 0.5, np.float32), MODEL)
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert made.NumberOfFrames == 1 and measures.SliceThickness == measures.SpacingBetweenSlices == 2.5
    assert list(measures.PixelSpacing) == [1.1, 0.9]
