"""Rows of crops, one a view, worked out by hand."""

from __future__ import annotations

import torch
from evaluation import batch_of, evaluate, rows

from pipeline.breast_ultrasound.write_crops import WriteCropPredictions


def test_a_row_is_what_the_crop_says_and_the_sigmoid(tmp_path, capsys) -> None:
    crop = {"exam_id": "E1", "patient_id": "P1", "side": "R", "image_id": "lesion1", "split": "test", "label": 1,
            "view": "full", "groups": {"age": "50"}, "readers": {"one": 3}}
    other = {**crop, "view": "center", "label": 0, "image_id": "healthy2", "groups": {}, "readers": {}}
    evaluate(WriteCropPredictions(tmp_path, 5), (batch_of(crop), torch.tensor([[2.0]])),
             (batch_of(other), torch.tensor([[-1.0]])))
    assert rows(tmp_path / "predictions.csv") == [
        {"variant": "full", "exam_id": "E1", "patient_id": "P1", "side": "R", "image_id": "lesion1", "fold": "5",
         "split": "test", "label": "1", "score": "0.880797", "group_age": "50", "reader_one": "3"},
        {"variant": "center", "exam_id": "E1", "patient_id": "P1", "side": "R", "image_id": "healthy2", "fold": "5",
         "split": "test", "label": "0", "score": "0.268941", "group_age": "", "reader_one": ""}]
    assert capsys.readouterr().out.startswith("2 predictions in ")
