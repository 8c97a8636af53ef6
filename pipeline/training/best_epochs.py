"""Weights of several epochs of one training, the best by validation, for answers that are merged of theirs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from pipeline.files.receipts import SUFFIX
from pipeline.networks.checkpoint import epoch_files


class BestEpochs:
    """Ranks epochs by the evaluator's key metric, and says which of them keep a file beside the best model's.

    The best epoch has one, too. Which epochs these are is part of a run's state (`RunState`), so that a resumed run
    keeps the same; where a run keeps one alone, that is the best model itself, and there are no such files.

    Args:
        model: the best model's file; that of epoch 7 is `model_epoch7.pt` beside it.
        evaluator: its key metric and how it compares count.
        count: epochs to keep.
    """

    def __init__(self, model: Path, evaluator: Engine | None, count: int = 1) -> None:
        self.model = model
        self.evaluator = evaluator
        self.count = int(count)
        self.ranked: list[list[float]] = []  # epoch and metric, the best first

    def rank(self, epoch: int) -> Path | None:
        """Give an epoch that was just validated its place; returns where its weights go, None if nowhere."""
        if self.count < 2 or self.evaluator is None or self.evaluator.state.epoch != epoch:
            return None
        state: Any = self.evaluator.state
        metric = float(state.metrics[state.key_metric_name])
        if not math.isfinite(metric):
            return None
        better: Any = self.evaluator.metric_cmp_fn  # of MONAI's engines
        place = next((i for i, (_, other) in enumerate(self.ranked) if better(metric, other)), len(self.ranked))
        self.ranked.insert(place, [epoch, metric])
        del self.ranked[self.count:]
        return self._file(epoch) if place < self.count else None

    def tidy(self) -> None:
        """Remove the files of all other epochs, those of an earlier training too; not files without our receipt."""
        kept = {self._file(int(epoch)) for epoch, _ in self.ranked}
        for path in epoch_files(self.model):
            receipt = path.with_name(path.name + SUFFIX)
            if path not in kept and receipt.is_file():
                path.unlink(missing_ok=True)
                receipt.unlink(missing_ok=True)

    def _file(self, epoch: int) -> Path:
        return self.model.with_name(f"{self.model.stem}_epoch{epoch}{self.model.suffix}")
