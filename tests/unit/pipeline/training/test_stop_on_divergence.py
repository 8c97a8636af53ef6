"""A run that has lost its numbers ends with an error, in the step in which it happens."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.training.stop_on_divergence import StopOnDivergence


def steps(watch: StopOnDivergence, network: nn.Module, *found: tuple[float, float]) -> None:
    """Losses and gradient norms, one a step."""
    for step, (loss, norm) in enumerate(found, start=1):
        network.weight.grad = torch.tensor([[float(norm)]])
        engine: Any = SimpleNamespace(state=SimpleNamespace(iteration=step, output={"loss": torch.tensor(float(loss))}))
        watch(engine)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number(loss: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    with pytest.raises(InputError, match=r"the loss is not finite in step 2; lower the learning rate \(--lr\)"):
        steps(StopOnDivergence(network), network, (1.0, 1e30), (loss, 1.0))


def test_gradients_far_above_their_running_mean() -> None:
    network = nn.Linear(1, 1, bias=False)
    # After 1 and 2 the mean is 0.9 · 1 + 0.1 · 2 = 1.1: 11 is ten times it, 12 is more.
    steps(StopOnDivergence(network, gradients=True, factor=10), network, (1, 1), (1, 2), (1, 11))
    with pytest.raises(InputError, match=r"gradients exploded in step 3 \(norm 12\); use --precision fp32"):
        steps(StopOnDivergence(network, gradients=True, factor=10), network, (1, 1), (1, 2), (1, 12))


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_the_first_gradients_must_be_numbers_too(norm: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    with pytest.raises(InputError, match="gradients exploded in step 1"):
        steps(StopOnDivergence(network, gradients=True), network, (1, norm))
