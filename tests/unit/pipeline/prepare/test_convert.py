"""`convert`: DICOM and other volumes as NIfTI once, with their list; mammograms stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.datalist import Datalist, Exam, load, save

AFFINE = np.array([[-1.5, 0, 0, 9.0], [0, -2.0, 0, 4.0], [0, 0, 3.0, -7.5], [0, 0, 0, 1]])  # slices as DICOM sorts them


def write_list(folder: Path, images: dict[str, str], modality: str = "MR") -> str:
    exam = Exam("E1", "P1", images, {"L": {"malignant": 1}}, fold=0)
    save(Datalist("raw", modality, folder, [exam], {"count": 2, "seed": 0}), folder / "list.json")
    return str(folder / "list.json")


def test_voxels_and_grid_are_kept_and_files_that_are_there_too(tmp_path: Path, make_series: Any) -> None:
    voxels = np.random.default_rng(0).integers(-5, 900, (8, 7, 5)).astype(np.int16)
    make_series(tmp_path / "raw" / "pre", voxels, AFFINE, shuffle=3)
    nib.save(nib.Nifti1Image(voxels * 2, AFFINE), tmp_path / "t2.nii")
    path = write_list(tmp_path, {"pre": "raw/pre", "t2": "t2.nii"})
    assert main(["convert", path, "-o", str(tmp_path / "out")]) == 0
    converted = load(tmp_path / "out" / "list.json")
    assert converted.exams[0].images == {"pre": "E1/pre.nii.gz", "t2": "E1/t2.nii.gz"} and converted.folds["count"] == 2
    for name, factor in (("pre", 1), ("t2", 2)):
        image = nib.load(converted.path(converted.exams[0], name))
        assert np.array_equal(np.asarray(image.dataobj), voxels * factor)
        assert np.allclose(image.affine, AFFINE, atol=1e-4)
        assert not bytes(image.header["descrip"]).strip(b"\0") and not bytes(image.header["db_name"]).strip(b"\0")
    before = (tmp_path / "out" / "E1" / "pre.nii.gz").stat().st_mtime_ns
    assert main(["convert", path, "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "E1" / "pre.nii.gz").stat().st_mtime_ns == before


def test_mammograms_and_damaged_series_are_refused_in_one_line(tmp_path: Path, make_series: Any,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    make_series(tmp_path / "pre", np.zeros((4, 4, 4), np.int16), AFFINE)
    (tmp_path / "pre" / "1-002.dcm").unlink()
    for modality, text in (("MR", "exam E1: pre: slices are missing"), ("MG", "there is nothing to convert")):
        assert main(["convert", write_list(tmp_path, {"pre": "pre"}, modality), "-o", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert text in error
    assert not (tmp_path / "out" / "list.json").exists()
