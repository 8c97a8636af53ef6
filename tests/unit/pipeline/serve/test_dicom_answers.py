"""From the files of an answer to DICOM: which series is meant, and what is refused before anything is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_answers import AFFINES, STUDY, result, views, write_exam
from PIL import Image

from pipeline.errors import InputError
from pipeline.files.atomic import write_volume
from pipeline.serve import dicom_answers
from pipeline.serve.dicom_study import Model

hd = pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")

MODEL = Model("breast_mri_curriculum", "0.1.0")


def answer_of(folder: Path, told: dict[str, Any], heat: np.ndarray, affine: np.ndarray) -> None:
    """The files of an answer called E1."""
    folder.mkdir()
    (folder / "E1_result.json").write_text(json.dumps({"exam_id": "E1", **told, "source": "0"}))
    write_volume(folder / "E1_heatmap.nii.gz", heat, affine)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(folder / "E1_preview.png")


def test_the_model_is_that_of_the_export(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "export.json").write_text(json.dumps({"bundle": "breast_mri_transfer", "version": "9"}))
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1.2"}))
    assert dicom_answers.model_of(tmp_path) == Model("breast_mri_transfer", "0.1.2")


@pytest.mark.parametrize("output", ["float", "labels"])
def test_an_exam_s_folder_of_series(output: str, tmp_path: Path, make_series: Any) -> None:
    heat, affine = write_exam(make_series, tmp_path / "E1" / "pre", AFFINES["reversed"])
    make_series(tmp_path / "E1" / "t2", np.zeros((5, 5, 4), np.int16), StudyInstanceUID=STUDY)
    told = result(affine) | {"heatmap": {"output": output, "levels": [0.5, 0.75, 0.9]}}
    levels = np.select([heat >= 0.9, heat >= 0.5], [3, 1]).astype(np.uint8)
    answer_of(tmp_path / "out", told, heat if output == "float" else levels, affine)
    exam = {"exam_id": "E1", "image": str(tmp_path / "E1")}
    dicom_answers.check([exam])
    paths = dicom_answers.write(exam, tmp_path / "out", MODEL)
    kinds = ["map", "levels", "report", "picture"][output == "labels" :]
    assert [path.name for path in paths] == [f"E1_{kind}.dcm" for kind in kinds]
    seg = hd.seg.segread(tmp_path / "out" / "E1_levels.dcm")
    assert seg.get_volume(combine_segments=True).array.sum() == levels.sum(dtype=int)
    if output == "float":
        assert np.array_equal(np.sort(hd.imread(paths[0]).get_volume().array, axis=None), np.sort(heat, axis=None))


def test_mammograms(tmp_path: Path, make_mammogram: Any) -> None:
    files = {}
    for side in "LR":
        files[f"{side}-CC"] = tmp_path / f"{side}-CC.dcm"
        make_mammogram(files[f"{side}-CC"], side, StudyInstanceUID=STUDY)
    answer_of(tmp_path / "out", views(), np.zeros((40, 60, 1), np.float32), np.eye(4))
    exam = {"exam_id": "E1", "image": files}
    dicom_answers.check([exam])
    paths = dicom_answers.write(exam, tmp_path / "out", MODEL)
    assert [path.name for path in paths] == ["E1_report.dcm", "E1_picture.dcm"]
    assert pydicom.dcmread(paths[1]).pixel_array.shape == (4, 6, 3)


def test_what_is_no_dicom_is_refused_first(tmp_path: Path, make_series: Any) -> None:
    write_exam(make_series, tmp_path / "a", AFFINES["axial"])
    write_volume(tmp_path / "b" / "pre.nii.gz", np.zeros((4, 4, 4)), np.eye(4))
    with pytest.raises(InputError, match=r"b: no DICOM.*leave out --dicom"):
        dicom_answers.check([{"image": str(tmp_path / "a")}, {"image": str(tmp_path / "b")}])
