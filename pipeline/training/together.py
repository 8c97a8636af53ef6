"""What several processes that train one network must do alike, beside averaging its gradients."""

from __future__ import annotations

import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from pipeline.training import distributed


class Together:
    """Lets several processes validate each its own share of the cases, and see the same losses.

    Every step's loss becomes that of all processes' cases, before anybody logs or judges it. An evaluation begins with
    the first process's buffers (running means of batch norm), which are those that are saved, and goes through the
    network itself: DistributedDataParallel would talk in every batch, and shares that differ by one never come to an
    end. Metrics are gathered by themselves, so that all processes agree on the best epoch.

    Args:
        network: the module whose state dict is saved (not its DistributedDataParallel wrapper).
        evaluator: what validates.
    """

    def __init__(self, network: nn.Module, evaluator: Engine) -> None:
        self.network = network
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        if distributed.count() > 1:
            self.evaluator.network = self.network
            self.evaluator.add_event_handler(Events.EPOCH_STARTED, self.same_buffers)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.same_loss)

    def same_buffers(self, engine: Engine) -> None:
        """Take over the first process's buffers."""
        for buffer in self.network.buffers():
            dist.broadcast(buffer, 0)

    def same_loss(self, engine: Engine) -> None:
        """Average the step's loss over the processes."""
        engine.state.output["loss"] = distributed.mean(engine.state.output["loss"])
