"""What several processes do alike; that they then learn alike is `test_distributed`'s."""

from __future__ import annotations

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from torch import nn

from pipeline.training import distributed
from pipeline.training.together import Together


def engines() -> tuple[Engine, Engine]:
    """A trainer whose loss is 1, and an evaluator that goes through a shared network."""
    trainer = Engine(lambda engine, batch: {"loss": torch.tensor(1.0)})
    evaluator = Engine(lambda engine, batch: None)
    evaluator.network = "shared"  # type: ignore[attr-defined]
    return trainer, evaluator


def test_one_process_is_left_alone() -> None:
    trainer, evaluator = engines()
    Together(nn.Linear(1, 1), evaluator).attach(trainer)
    trainer.run([0])
    assert trainer.state.output["loss"] == 1 and evaluator.network == "shared"  # type: ignore[attr-defined]


def test_several_log_their_mean_loss_and_validate_with_the_first_ones_buffers(monkeypatch) -> None:
    monkeypatch.setattr(distributed, "count", lambda: 2)
    monkeypatch.setattr(distributed, "mean", lambda loss: (loss + 3) / 2)  # the other's loss is 3
    monkeypatch.setattr(dist, "broadcast", lambda buffer, source: buffer.fill_(7 + source))
    network = nn.BatchNorm1d(2)
    trainer, evaluator = engines()
    Together(network, evaluator).attach(trainer)
    logged: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: logged.append(float(trainer.state.output["loss"])))
    trainer.run([0, 0])
    assert logged == [2.0, 2.0]
    evaluator.run([0])
    assert evaluator.network is network  # type: ignore[attr-defined]
    assert network.running_mean.tolist() == network.running_var.tolist() == [7.0, 7.0]

