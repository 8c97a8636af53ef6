"""A learning rate that drops every few epochs."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events


class StepDecay:
    """Sets `lr · gamma^((epoch - 1) // step)` at the start of every epoch.

    The rate follows from the epoch alone, so that a resumed run needs no state of a scheduler.

    Args:
        optimizer: all its parameter groups get the rate.
        lr: the first rate.
        step: epochs between drops.
        gamma: what a drop leaves of the rate.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, lr: float, step: int, gamma: float) -> None:
        self.optimizer = optimizer
        self.lr = float(lr)
        self.step = int(step)
        self.gamma = float(gamma)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self.gamma ** ((engine.state.epoch - 1) // self.step)
