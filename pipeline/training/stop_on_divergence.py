"""Stop a run that has lost its numbers, with an error and before it overwrites a good state."""

from __future__ import annotations

import math

from ignite.engine import Engine, Events
from torch import nn

from pipeline.errors import InputError
from pipeline.training.precision import gradient_norm


class StopOnDivergence:
    """Raises where the loss is not finite, and in mixed precision also where gradients explode.

    ignite's TerminateOnNan ends such a run as if it were finished, with exit status 0.

    Args:
        network: whose gradients are watched.
        gradients: watch them too; bfloat16 convolutions of some CPUs return finite garbage.
        factor: how many times their running mean is too much.
    """

    def __init__(self, network: nn.Module, gradients: bool = False, factor: float = 1e4) -> None:
        self.network, self.gradients, self.factor = network, gradients, factor
        self.mean: float | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        step = engine.state.iteration
        if not math.isfinite(engine.state.output["loss"].item()):
            raise InputError(f"the loss is not finite in step {step}; lower the learning rate (--lr), or run "
                             "`python -m pipeline verify` on the datalist")
        if not self.gradients:
            return
        norm = gradient_norm(self.network)
        limit = math.inf if self.mean is None else self.factor * max(self.mean, 1e-6)
        if not norm <= limit or math.isinf(norm):
            raise InputError(f"gradients exploded in step {step} (norm {norm:.3g}); use --precision fp32, or a lower "
                             "learning rate (--lr)")
        self.mean = norm if self.mean is None else 0.9 * self.mean + 0.1 * norm
