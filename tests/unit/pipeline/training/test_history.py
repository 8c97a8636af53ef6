"""A row an epoch, also of a run that was interrupted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evaluation import rows

from pipeline.training.history import History


def epoch(folder: Path, number: int, validated: bool = True, **metrics: float) -> None:
    evaluator: Any = SimpleNamespace(state=SimpleNamespace(epoch=number if validated else number - 1,
                                                           metrics={"val_auc": 0.5 + number / 10}))
    trainer: Any = SimpleNamespace(state=SimpleNamespace(epoch=number, iteration=25 * number, metrics=metrics))
    optimizer: Any = SimpleNamespace(param_groups=[{"lr": 0.1 / number}])
    history = History(evaluator, optimizer, folder)
    history.note(trainer)
    optimizer.param_groups[0]["lr"] = 0.0  # the next epoch's, set when this one was over
    history.write(trainer)


def test_rows_of_trainer_and_evaluator(tmp_path) -> None:
    epoch(tmp_path, 1, loss=1 / 3)
    epoch(tmp_path, 2, validated=False, loss=0.25)  # not every epoch is validated
    epoch(tmp_path, 3, loss=0.125)
    assert rows(tmp_path / "history.csv") == [
        {"epoch": "1", "step": "25", "learning_rate": "0.1", "loss": "0.333333", "val_auc": "0.6"},
        {"epoch": "2", "step": "50", "learning_rate": "0.05", "loss": "0.25", "val_auc": ""},
        {"epoch": "3", "step": "75", "learning_rate": "0.0333333", "loss": "0.125", "val_auc": "0.8"}]


def test_a_resumed_run_replaces_the_epochs_that_it_repeats(tmp_path) -> None:
    for number in (1, 2, 3):
        epoch(tmp_path, number, loss=number)
    epoch(tmp_path, 2, loss=9)
    assert [(row["epoch"], float(row["loss"])) for row in rows(tmp_path / "history.csv")] == [("1", 1.0), ("2", 9.0)]
