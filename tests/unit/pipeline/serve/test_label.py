"""Exports in MONAI Label's own server; without its environment, how exams are laid out for it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.serve.label import call, infer, lay_out, server


def test_an_exam_lies_as_the_datastore_wants_it(phantom_cohort, ultrasound_cohort, tmp_path) -> None:
    source = phantom_cohort.load()
    name = lay_out(source, tmp_path / "mri")
    exam = next(each for each in source.exams if each.exam_id == name)
    assert exam.lesions
    assert {p.name for p in (tmp_path / "mri").iterdir()} == {f"{name}.nii.gz", f"{name}.exam"}
    assert (tmp_path / "mri" / f"{name}.nii.gz").read_bytes() == source.path(exam, "post1").read_bytes()
    assert {p.name for p in (tmp_path / "mri" / f"{name}.exam").iterdir()} == {
        f"{c}.nii.gz" for c in ("pre", "post1", "post2", "post3", "post4", "t2")}
    name = lay_out(ultrasound_cohort.load(), tmp_path / "us")
    assert [p.name for p in (tmp_path / "us").iterdir()] == [f"{name}.nrrd"]


def test_without_the_environment_it_says_so(tmp_path) -> None:
    with pytest.raises(InputError, match="no environment with MONAI Label"), \
            server(tmp_path / "bin" / "python", [], tmp_path, tmp_path / "log"):
        pass


@pytest.mark.e2e
def test_a_server_answers_refuses_and_lists_all(tmp_path, phantom_cohort) -> None:
    """The curriculum bundle with weights of no training: `LABEL_PYTHON` names the server's environment."""
    python = os.environ.get("LABEL_PYTHON")
    if not python:
        pytest.skip("LABEL_PYTHON names no environment with MONAI Label")
    import torch

    from pipeline.__main__ import main
    from pipeline.networks.curriculum_resnet import CurriculumResNet

    torch.save(CurriculumResNet().state_dict(), tmp_path / "model.pt")
    (tmp_path / "small.yaml").write_text("matrix: [128, 128, 8]\nrows: 64\n")
    assert main(["export", "bundles/breast_mri_curriculum", "--weights", f"weights={tmp_path / 'model.pt'}",
                 "--overlay", str(tmp_path / "small.yaml"), "-o", str(tmp_path / "exported")]) == 0
    good = tmp_path / "exported" / "breast_mri_curriculum"
    other = Path(shutil.copytree(good, tmp_path / "other_weights"))
    state = torch.load(good / "models" / "model.pt")
    state.popitem()
    torch.save(state, other / "models" / "model.pt")
    studies = tmp_path / "studies"
    name = lay_out(phantom_cohort.load(), studies)
    shutil.copy(studies / f"{name}.nii.gz", studies / "alone.nii.gz")
    with server(Path(python), [good, other], studies, tmp_path / "log") as address:
        info = json.loads(call(f"{address}/info/")[1])
        assert set(info["models"]) == {"breast_mri_curriculum", "other_weights"} and set(info["trainers"]) == {
            "breast_mri_curriculum", "other_weights"}
        assert info["models"]["breast_mri_curriculum"]["labels"] == {"cam_50": 1, "cam_75": 2, "cam_90": 3}
        for _ in range(2):  # the second comes from the server's cache
            status, body = infer(address, "breast_mri_curriculum", name)
            assert status == 200 and json.loads(body)["probability"] == pytest.approx(0.5)
        status, body = infer(address, "breast_mri_curriculum", name, "image", result_extension=".nrrd",
                             result_dtype="uint8")
        assert status == 200 and body.startswith(b"NRRD")
        status, body = infer(address, "breast_mri_curriculum", name, "image", heatmap_output="float")
        (tmp_path / "map.nii.gz").write_bytes(body)
        heat, shown = nib.load(tmp_path / "map.nii.gz"), nib.load(studies / f"{name}.nii.gz")
        assert heat.shape == shown.shape and np.allclose(heat.affine, shown.affine, atol=1e-3)
        assert b'"probability"' in infer(address, "breast_mri_curriculum", name, "all")[1]
        status, body = infer(address, "breast_mri_curriculum", "alone")
        assert status == 422 and "holds 1 volumes, 6 expected" in json.loads(body)["detail"]
        status, body = infer(address, "other_weights", name)  # never a number from weights that do not fit
        assert status == 422 and "they are another network's" in json.loads(body)["detail"]
    with pytest.raises(OSError, match=r"refused|\[Errno"):
        call(f"{address}/info/")
