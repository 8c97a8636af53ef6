"""An exam's four answers as JSON, maps and a picture, read back."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.breast_mri.answer_stacks import FourAnswersResultd, SaveFourAnswersd
from pipeline.errors import InputError

EXAM = np.array([[-2.0, 0, 0, 11], [0, -2.0, 0, 9], [0, 0, 5.0, -10], [0, 0, 0, 1]])  # to L, P and S
STACK = np.array([[2.0, 0, 0, -11], [0, 2.0, 0, -9], [0, 0, 5.0, -10], [0, 0, 0, 1]])  # to R, A and S
LOGITS = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, -2.0, 0.0, 3.0])  # 0.5, 0.731059, 0.119203, 0.952574


@pytest.fixture
def answered() -> dict:
    """An exam of 12 × 10 × 5 voxels; each answer's map is hot in a voxel of its own, counted as the stack does."""
    heat = torch.zeros(4, 12, 10, 5)
    for i, place in enumerate([(1, 2, 0), (3, 4, 1), (8, 2, 2), (10, 6, 4)]):
        heat[(i, *place)] = [0.5, 0.73, 0.12, 0.95][i]
    image = MetaTensor(torch.rand(1, 12, 10, 5), meta={
        "original_affine": EXAM, "stack_affine": STACK, "spatial_shape": np.array([12, 10, 5]),
        "digests": {"pre": "a"}})
    return {"image": image, "exam_id": "E1", "pred": {"logits": LOGITS, "heatmap": heat}}


def test_the_worst_breast_s_malignancy_leads_and_maps_lie_in_the_exam(answered) -> None:
    found = FourAnswersResultd("pred")(answered)
    result = found["result"]
    assert result["probability"] == pytest.approx(0.952574)
    assert result["probabilities"] == {"L": {"benign": 0.5, "malignant": pytest.approx(0.731059)},
                                       "R": {"benign": pytest.approx(0.119203), "malignant": pytest.approx(0.952574)}}
    # Columns and rows of the file run against the stack's: (11 - x, 9 - y, z).
    assert found["pred"].shape == (1, 12, 10, 5)
    assert found["pred"][0, 8, 5, 1] == pytest.approx(0.73) and found["pred"][0, 1, 3, 4] == pytest.approx(0.95)
    assert found["pred"].sum() == pytest.approx(1.68, abs=1e-3)  # nothing benign
    assert found["answer_maps"][2, 3, 7, 2] == pytest.approx(0.12)
    assert found["result_extension"] == ".nii.gz"


def test_viewers_get_levels(answered) -> None:
    found = FourAnswersResultd("pred")({**answered, "result_dtype": "uint8"})
    assert found["pred"].dtype == torch.uint8 and found["pred"].unique().tolist() == [0, 1, 3]
    assert found["result"]["heatmap"]["output"] == "labels"


def test_files_of_an_answer(answered, tmp_path, capsys) -> None:
    SaveFourAnswersd("pred", tmp_path)(FourAnswersResultd("pred")(answered))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["E1_heatmap.nii.gz", "E1_left_benign.nii.gz", "E1_left_malignant.nii.gz", "E1_preview.png", "E1_result.json",
         "E1_right_benign.nii.gz", "E1_right_malignant.nii.gz"])
    told = json.loads((tmp_path / "E1_result.json").read_text())
    assert told["exam_id"] == "E1" and told["probabilities"]["R"]["benign"] == pytest.approx(0.119203)
    image = nib.load(tmp_path / "E1_right_malignant.nii.gz")
    assert np.allclose(image.affine, EXAM) and image.get_fdata()[1, 3, 4] == pytest.approx(0.95, abs=1e-3)
    assert "left malignant 0.731" in capsys.readouterr().out


def test_a_server_is_sent_the_answer_and_no_file_is_written(answered, tmp_path) -> None:
    del answered["exam_id"]
    SaveFourAnswersd("pred", tmp_path)(FourAnswersResultd("pred")(answered))
    assert not list(tmp_path.iterdir())


def test_an_answer_that_is_no_number_is_none(answered, tmp_path) -> None:
    answered["pred"]["logits"] = torch.full((8,), torch.nan)
    with pytest.raises(InputError, match="E1: the network's answer is no number"):
        SaveFourAnswersd("pred", tmp_path)(FourAnswersResultd("pred")(answered))
    assert not list(tmp_path.iterdir())
