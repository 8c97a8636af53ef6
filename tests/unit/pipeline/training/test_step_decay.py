"""The rate follows from the epoch alone."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from pipeline.training.step_decay import StepDecay


def test_a_drop_every_so_many_epochs_from_any_epoch_on() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    trainer, seen = Engine(lambda engine, batch: None), []
    StepDecay(optimizer, 0.1, 3, 0.5).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(optimizer.param_groups[0]["lr"]))
    trainer.run([0], max_epochs=4)
    trainer.run([0], max_epochs=7)  # goes on
    assert seen == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025])
