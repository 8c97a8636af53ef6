"""What every training leaves beside its model: curves, history.csv, the epoch that was asked for."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import LrScheduleHandler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from pipeline.errors import InputError
from pipeline.training.housekeeping import Housekeeping

LOSSES = [0.7, 0.4, 0.5]  # of validation: epoch 2 is the best


class Training:
    """Three epochs of two steps in which the only weight counts the steps, the rate is cut by ten each epoch, and
    validation finds what `LOSSES` says."""

    def __init__(self, folder: Path, **settings) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-5)
        scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1, 0.1)
        self.evaluator = Engine(lambda engine, batch: None)
        self.evaluator.state.best_metric, self.evaluator.state.best_metric_epoch = -1, -1
        self.trainer = Engine(self.step)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        LrScheduleHandler(scheduler, print_lr=False).attach(self.trainer)
        Housekeeping(self.network, self.optimizer, self.evaluator, folder, folder, scheduler=scheduler,
                     **settings).attach(self.trainer)

    def step(self, engine: Engine, batch: int) -> dict[str, torch.Tensor]:
        self.optimizer.step()
        with torch.no_grad():
            self.network.weight += 1
        engine.state.metrics = {"train_auroc": 0.5 + engine.state.iteration / 100}
        return {"loss": torch.tensor(1.0 / engine.state.iteration)}

    def validate(self, engine: Engine) -> None:
        state, loss = self.evaluator.state, LOSSES[engine.state.epoch - 1]
        state.epoch, state.metrics = engine.state.epoch, {"val_loss": loss}
        if loss == min(LOSSES[: engine.state.epoch]):
            state.best_metric, state.best_metric_epoch = loss, engine.state.epoch

    def run(self) -> None:
        self.trainer.run([0, 1], max_epochs=3)


def steps_kept(folder: Path) -> float:
    return torch.load(folder / "model.pt", weights_only=True)["weight"].item()


def test_rate_and_metrics_of_each_epoch_are_written(tmp_path) -> None:
    Training(tmp_path).run()
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [list(map(float, row.values())) for row in rows] == [
        [1, 2, 1e-5, 0.52, 0.7], [2, 4, 1e-6, 0.54, 0.4], [3, 6, 1e-7, 0.56, 0.5]]
    assert list(rows[0]) == ["epoch", "step", "learning_rate", "train_auroc", "val_loss"]
    curves = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in curves.Scalars("train_loss")] == [
        (i, pytest.approx(1 / i)) for i in range(1, 7)]
    assert [e.value for e in curves.Scalars("learning_rate")] == pytest.approx([1e-5] * 2 + [1e-6] * 2 + [1e-7] * 2)
    assert [(e.step, e.value) for e in curves.Scalars("train_auroc")] == [
        (1, pytest.approx(0.52)), (2, pytest.approx(0.54)), (3, pytest.approx(0.56))]


@pytest.mark.parametrize(("keep", "steps"), [("best", 4), ("last", 6)])
def test_the_epoch_that_was_asked_for_is_kept(tmp_path, keep, steps) -> None:
    Training(tmp_path, keep=keep).run()
    assert steps_kept(tmp_path) == steps


def test_the_state_is_that_behind_validation_and_schedule(tmp_path) -> None:
    Training(tmp_path).run()
    state = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert (state["epoch"], state["best_epoch"], state["best_metric"]) == (3, 2, 0.4)
    assert state["scheduler"]["last_epoch"] == 3
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-8)  # of the epoch that would come


def test_quiet_keeps_the_model_and_writes_no_curves(tmp_path) -> None:
    Training(tmp_path, quiet=True).run()
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model.pt", "resume.pt"} <= names
    assert not any(name == "history.csv" or name.startswith("events") for name in names)


def test_patience_ends_the_training(tmp_path) -> None:
    training = Training(tmp_path, patience=1)
    training.trainer.run([0, 1], max_epochs=10)  # epoch 3 is one behind the best; LOSSES has no fourth
    assert training.trainer.state.epoch == 3


@pytest.mark.parametrize(("settings", "message"), [
    ({"keep": "first"}, "keep is 'first'; choose best or last"),
    ({"keep": "last", "patience": 3}, "patience counts from the best epoch"),
])
def test_settings_that_contradict_are_one_line(tmp_path, settings, message) -> None:
    with pytest.raises(InputError, match=message):
        Training(tmp_path, **settings)


def test_an_epoch_without_a_step_is_one_line(tmp_path) -> None:
    """MONAI leaves out such a training with a warning, and the program ends as if all were well."""
    network, trainer = nn.Linear(1, 1), Engine(lambda engine, batch: None)
    trainer.state.epoch_length = 0
    handlers = Housekeeping(network, torch.optim.SGD(network.parameters(), lr=1.0), Engine(lambda engine, batch: None),
                            tmp_path, tmp_path, quiet=True)
    with pytest.raises(InputError, match="an epoch has fewer cases than one step takes; lower batch_size"):
        handlers.attach(trainer)
