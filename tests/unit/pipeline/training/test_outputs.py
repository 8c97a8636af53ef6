"""What metrics are given of an engine's output, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.training.outputs import (
    BinaryCrossEntropy,
    answers_and_labels,
    logits_and_labels,
    lower_is_better,
    scores_and_labels,
    sigmoids_and_labels,
)


def test_two_logits() -> None:
    output = {"pred": torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=torch.bfloat16), "label": torch.tensor([1, 0])}
    logits, label = logits_and_labels(output)
    assert logits.dtype == torch.float32 and label is output["label"]
    assert scores_and_labels(output)[0].tolist() == pytest.approx([0.731059, 0.119203], abs=1e-6)


def test_one_logit() -> None:
    output = {"pred": torch.tensor([[0.0], [-2.0], [1.0]]), "label": torch.tensor([1, 0, 0])}
    assert sigmoids_and_labels(output)[0].tolist() == pytest.approx([0.5, 0.119203, 0.731059], abs=1e-6)
    assert answers_and_labels(output)[0].tolist() == [1, 0, 1]  # 0.5 is positive
    expected = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 3
    assert float(BinaryCrossEntropy()(output["pred"], output["label"])) == pytest.approx(expected, abs=1e-6)


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    assert lower_is_better(0.1, 0.2) and not lower_is_better(0.2, 0.2) and not lower_is_better(math.nan, 0.2)
