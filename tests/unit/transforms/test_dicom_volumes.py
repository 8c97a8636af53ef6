"""Files to volumes: told apart by time, whatever their names; what is not one volume is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from transforms.errors import InputError
from transforms.load import read_image, size_and_time

AFFINE = np.array([[-0.7, 0, 0, 31.5], [0, -0.9, 0, 20.25], [0, 0, 3.0, 7.75], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(0, 3000, (12, 10, 6)).astype(np.int16)


@pytest.mark.parametrize("tag", ["TemporalPositionIdentifier", "AcquisitionNumber", "TriggerTime", "ContentTime"])
def test_volumes_of_one_series_are_told_apart_by_time(tmp_path: Path, make_series: Any, tag: str) -> None:
    uid = "1.2.840.1"
    for k in (3, 1, 2):  # files lie in any order; content times differ from slice to slice as well
        value: Any = [f"10{k:02d}{s:02d}.5" for s in range(6)] if tag == "ContentTime" else k
        make_series(tmp_path / "dyn", VOXELS + np.int16(k), AFFINE, first=1 + 100 * (3 - k), shuffle=k,
                    SeriesInstanceUID=uid, **{tag: value})
    make_series(tmp_path / "one", VOXELS, AFFINE)
    still = read_image(tmp_path / "one").array
    for k in (1, 2, 3):
        for name in (f"dyn#:{k}", f"dyn#{uid}:{k}"):
            assert np.array_equal(read_image(tmp_path / name).array, still + k)
    with pytest.raises(InputError, match=r"dyn: 3 volumes.*FOLDER#:1"):
        read_image(tmp_path / "dyn")
    with pytest.raises(InputError, match="number 4 was asked for"):
        read_image(tmp_path / "dyn#:4")
    assert size_and_time(tmp_path / "dyn#:1")[0] == sum(p.stat().st_size for p in (tmp_path / "dyn").iterdir())


def test_volumes_that_no_time_tells_apart_are_refused(tmp_path: Path, make_series: Any) -> None:
    for first in (1, 101):
        make_series(tmp_path / "dyn", VOXELS, AFFINE, first=first, SeriesInstanceUID="1.2", AcquisitionNumber=1)
    with pytest.raises(InputError, match="no time tells volumes apart"):
        read_image(tmp_path / "dyn#:1")


def change(path: Path, **tags: Any) -> None:
    file = pydicom.dcmread(path)
    for tag, value in tags.items():
        setattr(file, tag, value)
    file.save_as(path)


@pytest.mark.parametrize(("damage", "text"), [
    (lambda d: (d / "1-003.dcm").unlink(), "slices are missing or misplaced"),
    (lambda d: change(shutil.copy(d / "1-003.dcm", d / "again.dcm")), "slices are missing or doubled"),
    (lambda d: change(d / "1-002.dcm", PixelSpacing=[0.9, 0.75]), "differ in spacing"),
    (lambda d: change(d / "1-002.dcm", ImageOrientationPatient=[0, 1, 0, -1, 0, 0]), "differ in orientation"),
    (lambda d: change(d / "1-002.dcm", RescaleSlope="2"), "differ in rescaling"),
    (lambda d: change(d / "1-002.dcm", SeriesInstanceUID="9.9"), "holds 2 series"),
    (lambda d: change(d / "1-002.dcm", ImagePositionPatient=None), "does not say where it lies"),
    (lambda d: (d / "1-002.dcm").write_bytes(b""), "empty file"),
    (lambda d: (d / "1-002.dcm").write_bytes((d / "1-002.dcm").read_bytes()[:-90]), "truncated"),
    (lambda d: change(d / "1-002.dcm", NumberOfFrames=3), "multi-frame"),
])
def test_what_is_no_volume_is_refused_in_one_line(tmp_path: Path, make_series: Any, damage: Any, text: str) -> None:
    make_series(tmp_path / "dyn", VOXELS, AFFINE)
    damage(tmp_path / "dyn")
    with pytest.raises(InputError, match=text) as caught:
        read_image(tmp_path / "dyn")
    assert not any(secret in str(caught.value) for secret in ("\n", "SECRET", str(tmp_path)))
