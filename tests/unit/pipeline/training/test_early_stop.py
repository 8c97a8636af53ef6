"""Stopping early counts from the evaluator's own best epoch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine

from pipeline.training.early_stop import EarlyStop


@pytest.mark.parametrize(("best", "last"), [({1: 1, 3: 3}, 5), ({1: 1}, 3), ({1: 1, 2: 2, 4: 4, 6: 6}, 8), ({}, 9)],
                         ids=["improves once more", "never again", "now and then", "was never validated"])
def test_the_run_ends_after_so_many_epochs_without_an_improvement(best: dict[int, int], last: int) -> None:
    evaluator: Any = SimpleNamespace(state=SimpleNamespace(best_metric_epoch=-1))
    trainer = Engine(lambda engine, batch: None)

    def validate(epoch: int) -> None:
        evaluator.state.best_metric_epoch = best.get(epoch, evaluator.state.best_metric_epoch)

    from ignite.engine import Events

    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validate(engine.state.epoch))
    EarlyStop(evaluator, 2).attach(trainer)
    assert trainer.run([0], max_epochs=9).epoch == last
