"""What metrics are given of an engine's output, by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from pipeline.training.outputs import (
    BinaryCrossEntropy,
    PooledROCAUC,
    answers_and_labels,
    logits_and_labels,
    lower_is_better,
    own_loss,
    scores_and_labels,
    sigmoids_and_labels,
)


class State:
    """What a metric sees of an engine."""

    def __init__(self, output: dict[str, torch.Tensor]) -> None:
        self.state = SimpleNamespace(output=output)


def test_two_logits() -> None:
    output = {"pred": torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=torch.bfloat16), "label": torch.tensor([1, 0])}
    logits, label = logits_and_labels(output)
    assert logits.dtype == torch.float32 and label is output["label"]
    assert scores_and_labels(output)[0].tolist() == pytest.approx([0.731059, 0.119203], abs=1e-6)


def area(answers: list[int], logits: torch.Tensor, labels: torch.Tensor) -> float:
    """A metric's value after batches of one case each."""
    metric = PooledROCAUC(answers)
    for pair, label in zip(logits, labels, strict=True):
        metric.iteration_completed(State({"pred": pair[None], "label": label[None]}))
    return float(metric.compute())


def test_several_answers_are_pooled_and_what_is_unknown_is_left_out() -> None:
    """Yes less no, of three answers of four cases; three labels are unknown."""
    logits = torch.zeros(4, 6)
    logits[:, 1::2] = torch.tensor([[1.0, 9.0, 0.5], [8.0, 9.0, 2.0], [0.0, 9.0, 3.0], [3.0, 9.0, -1.0]])
    labels = torch.tensor([[1, 0, 0], [-1, -1, 1], [0, 1, -1], [1, 0, 0]])
    assert area([0], logits, labels) == 1.0  # 1 and 3 against 0
    assert area([0, 2], logits, labels) == 1.0  # and 2 against 0.5 and -1: the smallest positive is 1
    assert area([1], logits, labels) == 0.5


def test_an_exam_of_which_nothing_is_known_leaves_the_area_as_it_is() -> None:
    logits = torch.tensor([[0.0, 0.5], [0.0, 9.0], [0.0, 0.0], [0.0, 1.0]])
    assert area([0], logits, torch.tensor([[1], [-1], [0], [0]])) == 0.5  # 0.5 against 0 and 1
    assert math.isnan(area([0], logits, -torch.ones(4, 1)))


def test_one_logit() -> None:
    output = {"pred": torch.tensor([[0.0], [-2.0], [1.0]]), "label": torch.tensor([1, 0, 0])}
    assert sigmoids_and_labels(output)[0].tolist() == pytest.approx([0.5, 0.119203, 0.731059], abs=1e-6)
    assert answers_and_labels(output)[0].tolist() == [1, 0, 1]  # 0.5 is positive
    expected = (math.log(2) + math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 3
    assert float(BinaryCrossEntropy()(output["pred"], output["label"])) == pytest.approx(expected, abs=1e-6)


def test_a_loss_that_is_no_number_is_no_improvement() -> None:
    assert lower_is_better(0.1, 0.2) and not lower_is_better(0.2, 0.2) and not lower_is_better(math.nan, 0.2)


def test_a_network_s_own_loss_is_the_one_to_descend_on() -> None:
    assert float(own_loss({"class": torch.tensor(1.0), "loss": torch.tensor(3.0)}, torch.zeros(4))) == 3
