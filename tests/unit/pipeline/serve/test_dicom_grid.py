"""Maps and series: the same voxels, however they are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_answers import AFFINES, FRAME, SHAPE, STUDY

from pipeline.errors import InputError
from pipeline.serve.dicom_grid import on_series, peak_of, series_on
from pipeline.serve.dicom_study import read_series
from transforms.grid import Grid


@pytest.mark.parametrize("name", AFFINES)
def test_a_map_with_other_axes_comes_on_those_of_the_series(name: str) -> None:
    grid = Grid(SHAPE, AFFINES[name])
    heat = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    for axes, flip in (((0, 1, 2), 0), ((2, 0, 1), 1), ((1, 0, 2), 2)):
        other = grid.flipped(flip).permuted(axes)
        there = on_series(np.flip(heat, flip).transpose(axes), other.affine, grid)
        assert np.array_equal(there, heat)
    assert on_series(heat, None, grid) is heat or np.array_equal(on_series(heat, None, grid), heat)


def test_a_map_of_other_voxels_is_refused() -> None:
    grid = Grid(SHAPE, AFFINES["oblique"])
    moved = grid.cropped((0.5, 0, 0), SHAPE)
    for heat, affine in ((np.zeros(SHAPE), moved.affine), (np.zeros((14, 12, 5)), None), (np.zeros((14, 12)), None)):
        with pytest.raises(InputError, match="are not those of the DICOM series"):
            on_series(heat, affine, grid)


def test_the_first_phase_on_the_map_s_grid_is_found_among_an_exam_s_series(tmp_path: Path, make_series: Any) -> None:
    grid, tags = Grid(SHAPE, AFFINES["sagittal"]), {"FrameOfReferenceUID": FRAME, "StudyInstanceUID": STUDY}
    voxels = np.zeros(SHAPE, np.int16)
    make_series(tmp_path / "E1" / "post", voxels, grid.affine, AcquisitionTime="101500", SeriesNumber=2, **tags)
    uid = make_series(tmp_path / "E1" / "pre", voxels, grid.affine, AcquisitionTime="101000", SeriesNumber=3, **tags)
    make_series(tmp_path / "E1" / "pre", voxels, grid.affine, AcquisitionTime="101100", SeriesNumber=3, first=7,
                SeriesInstanceUID=uid, **tags)  # a second volume in the same series
    make_series(tmp_path / "E1" / "t2", voxels[:, :, :4], grid.affine, AcquisitionTime="100000", SeriesNumber=1, **tags)
    found = series_on(tmp_path / "E1", grid.flipped(0).permuted((1, 2, 0)))
    assert found == tmp_path / "E1" / f"pre#{uid}:1"
    assert {image.AcquisitionTime for image in map(_read, (tmp_path / "E1" / "pre").iterdir())} == {"101000", "101100"}
    assert len(read_series(found).images) == SHAPE[2]
    with pytest.raises(InputError, match="E1: no series lies on the map's grid, 14 x 12 x 6"):
        series_on(tmp_path / "E1", grid.cropped((0.5, 0, 0), SHAPE))


def test_the_peak_is_a_voxel_of_the_hottest() -> None:
    heat = np.zeros(SHAPE, np.float32)
    assert peak_of(heat) is None
    heat[2:5, 7, 3], heat[11, 2, 4] = 0.6, 0.5
    assert peak_of(heat) == (3, 7, 3)


def _read(path: Path) -> Any:
    import pydicom

    return pydicom.dcmread(path)
