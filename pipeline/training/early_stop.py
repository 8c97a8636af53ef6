"""Stop a training that no longer improves."""

from __future__ import annotations

import logging

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)


class EarlyStop:
    """Ends the training when the evaluator's key metric has not improved for `patience` epochs.

    It counts from the evaluator's own best epoch and keeps no state, so a resumed run stops where the
    uninterrupted one does.

    Args:
        evaluator: whose key metric counts.
        patience: epochs.
    """

    def __init__(self, evaluator: Engine, patience: int) -> None:
        self.evaluator = evaluator
        self.patience = int(patience)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        best = self.evaluator.state.best_metric_epoch
        if best > 0 and engine.state.epoch - best >= self.patience:
            logger.info("early stop after epoch %d: best was epoch %d", engine.state.epoch, best)
            engine.terminate()
