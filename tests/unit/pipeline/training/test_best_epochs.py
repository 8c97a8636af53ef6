"""The best epochs of a training by validation: which are kept, and that nothing of others is left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import default_metric_cmp_fn
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.checkpoint import load_weights, other_epochs
from pipeline.training import run_state
from pipeline.training.housekeeping import Housekeeping
from pipeline.training.outputs import lower_is_better
from pipeline.training.run_state import RunState

LOSSES = [0.7, 0.4, float("nan"), 0.5, 0.4, 0.9, 0.3]


class Stopped(Exception):
    pass


def train(folder: Path, values: list[float], epochs: int, kill: str = "", at: int = 0, patch=None, every: int = 1,
          compare=None, **settings) -> None:
    """As many epochs, whose only weight is their number, and whose validation finds these values.

    It may be killed in an epoch, `before` the state is written, or `after` that and before files of others go.
    """
    network = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    evaluator = Engine(lambda engine, batch: None)
    evaluator.metric_cmp_fn = compare or lower_is_better
    evaluator.state.key_metric_name = "val"
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1, -1
    trainer = Engine(lambda engine, batch: {"loss": torch.zeros(())})

    def validate(engine: Engine) -> None:
        state, epoch = evaluator.state, engine.state.epoch
        nn.init.constant_(network.weight, epoch)
        if epoch % every:
            return
        state.epoch, state.metrics = epoch, {"val": values[epoch - 1]}
        if state.best_metric_epoch < 0 or evaluator.metric_cmp_fn(values[epoch - 1], state.best_metric):
            state.best_metric, state.best_metric_epoch = values[epoch - 1], epoch

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    handlers = Housekeeping(network, optimizer, evaluator, folder, folder, quiet=True, **settings)
    if kill:
        (state,) = [part for part in handlers.parts if isinstance(part, RunState)]
        first = run_state.receipted if kill == "before" else state.epochs.tidy

        def stop(*args):
            if trainer.state.epoch == at and (kill == "after" or args[0].name == "resume.pt"):
                raise Stopped
            return first(*args)
        if kill == "before":
            patch.setattr(run_state, "receipted", stop)
        else:
            patch.setattr(state.epochs, "tidy", stop)
    handlers.attach(trainer)
    trainer.run([0], max_epochs=epochs)


def kept(folder: Path) -> list[str]:
    assert all(path.with_name(f"{path.name}.receipt.json").is_file() for path in folder.glob("*.pt"))
    assert len(list(folder.glob("*.receipt.json"))) == len(list(folder.glob("*.pt")))
    return sorted(path.stem for path in folder.glob("*.pt") if path.name != "resume.pt")


@pytest.mark.parametrize(("count", "epochs"), [(1, []), (2, [2, 7]), (3, [2, 5, 7]), (9, [1, 2, 4, 5, 6, 7])])
def test_the_lowest_losses_are_kept_and_the_earlier_of_two_equal_ones(tmp_path, count, epochs) -> None:
    train(tmp_path, LOSSES, 7, best_epochs=count)
    assert kept(tmp_path) == ["model", *(f"model_epoch{epoch}" for epoch in epochs)]
    for epoch in epochs:
        weights = load_weights(nn.Linear(1, 1, bias=False), tmp_path / f"model_epoch{epoch}.pt")
        assert weights.weight.item() == epoch
    others = [tmp_path / f"model_epoch{epoch}.pt" for epoch in epochs if epoch != 7]  # 7 is the model itself
    assert other_epochs(tmp_path / "model.pt") == others


def test_the_highest_precision_is_kept_where_that_is_what_counts(tmp_path) -> None:
    train(tmp_path, LOSSES, 7, best_epochs=2, compare=default_metric_cmp_fn)
    assert kept(tmp_path) == ["model", "model_epoch1", "model_epoch6"]
    assert other_epochs(tmp_path / "model.pt") == [tmp_path / "model_epoch1.pt"]


def test_an_epoch_that_was_not_validated_is_none(tmp_path) -> None:
    train(tmp_path, LOSSES, 7, best_epochs=3, every=2)
    assert kept(tmp_path) == ["model", "model_epoch2", "model_epoch4", "model_epoch6"]


@pytest.mark.parametrize("kill", ["before", "after"])
@pytest.mark.parametrize("at", [1, 4, 5, 7])
def test_a_killed_training_ends_with_the_same_files(tmp_path, monkeypatch, kill, at) -> None:
    """Bit for bit, whether it is killed before its state is written or before the files of others go."""
    train(tmp_path / "whole", LOSSES, 7, best_epochs=2)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        train(tmp_path / "parts", LOSSES, 7, best_epochs=2, kill=kill, at=at, patch=patch)
    train(tmp_path / "parts", LOSSES, 7, best_epochs=2)
    names = {path.name for path in (tmp_path / "whole").glob("*.pt")}
    assert names == {path.name for path in (tmp_path / "parts").glob("*.pt")}
    for name in names - {"resume.pt"}:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    states = [torch.load(tmp_path / name / "resume.pt", weights_only=True) for name in ("whole", "parts")]
    assert states[0]["best_epochs"] == states[1]["best_epochs"] == [[7, 0.3], [2, 0.4]]


def test_a_training_begun_afresh_leaves_nothing_of_the_one_before(tmp_path) -> None:
    train(tmp_path, LOSSES, 7, best_epochs=9)
    (tmp_path / "model_epochs_of_mine.pt").write_bytes(b"left alone")
    (tmp_path / "model_epochs_of_mine.pt.receipt.json").write_bytes(b"left alone")
    train(tmp_path, [0.5, 0.6], 2, best_epochs=2, resume=False)
    assert kept(tmp_path) == ["model", "model_epoch1", "model_epoch2", "model_epochs_of_mine"]
    train(tmp_path, [0.5, 0.6], 1, resume=False)
    assert kept(tmp_path) == ["model", "model_epochs_of_mine"]


def test_weights_without_a_receipt_are_somebody_else_s(tmp_path) -> None:
    mine = tmp_path / "model_epoch30.pt"
    mine.write_bytes(b"left alone")
    train(tmp_path, LOSSES, 2, best_epochs=2)
    assert mine.is_file() and (tmp_path / "model_epoch2.pt").is_file()


def test_several_of_a_training_that_selects_none_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="best_epochs are the best by validation; set keep to best"):
        train(tmp_path, LOSSES, 1, keep="last", best_epochs=2)
