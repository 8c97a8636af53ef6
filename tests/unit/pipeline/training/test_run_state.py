"""A run that was interrupted ends like one that was not, and a run that loses its numbers ends at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from commands import ROOT
from ignite.engine import Engine, Events
from ignite.metrics import Loss
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, ValidationHandler
from monai.transforms import Compose
from monai.utils import set_determinism
from torch import nn
from torch.utils.data import DataLoader

from pipeline.breast_mri.breasts import breasts
from pipeline.errors import InputError
from pipeline.training import outputs as engine
from pipeline.training.batches import BalancedSampler, SeededDataset, collate
from pipeline.training.housekeeping import Housekeeping
from transforms import LoadPreparedd, RandRotateFlipd

TRAIN = ROOT / "bundles" / "breast_mri_transfer" / "configs" / "train.yaml"  # has a schedule
ORDER = [handler["_target_"] for handler in yaml.safe_load(TRAIN.read_text())["train"]["handlers"]]


class Interrupted(Exception):
    pass


@dataclass
class Run:
    """A trainer with the handlers of `train.yaml`, in its order; keeps each epoch's loss and weights."""

    folder: Path
    data: Path
    max_epochs: int = 4
    lr: float = 1e-2
    patience: int = 50
    stop_at: int | None = None  # an iteration that does not come to its end
    gradients: bool = False
    step: int = 100  # epochs between drops of the rate
    resume: bool = True
    losses: list[float] = field(default_factory=list)
    weights: list[dict[str, torch.Tensor]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)  # of each step

    def __post_init__(self) -> None:
        set_determinism(seed=5)
        self.network = nn.Sequential(nn.Conv3d(2, 4, 3, 2), nn.LeakyReLU(), nn.Dropout(0.3), nn.AdaptiveAvgPool3d(1),
                                     nn.Flatten(), nn.Linear(4, 2))
        self.optimizer = torch.optim.Adam(self.network.parameters(), self.lr)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, self.step, 0.1)
        self.evaluator = SupervisedEvaluator(
            torch.device("cpu"), self.loader("validation"), self.network, decollate=False,
            key_val_metric={"val_loss": Loss(nn.CrossEntropyLoss(), engine.logits_and_labels)},
            metric_cmp_fn=engine.lower_is_better)
        handlers = {
            "ValidationHandler": ValidationHandler(1, self.evaluator),
            "LrScheduleHandler": LrScheduleHandler(self.scheduler, print_lr=False),
            "pipeline.training.housekeeping.Housekeeping": Housekeeping(
                self.network, self.optimizer, self.evaluator, self.folder, self.folder, scheduler=self.scheduler,
                patience=self.patience, precision="bf16" if self.gradients else "fp32", resume=self.resume,
                quiet=True),
        }
        self.trainer = SupervisedTrainer(
            torch.device("cpu"), self.max_epochs, self.loader("train"), self.network, self.optimizer,
            nn.CrossEntropyLoss(), decollate=False,
            train_handlers=[handlers[name] for name in ORDER])
        self.trainer.add_event_handler(Events.ITERATION_STARTED, self.interrupt)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.note)

    def loader(self, split: str) -> DataLoader:
        cases = breasts(self.data, 0, split)
        steps = [LoadPreparedd("image")] + [RandRotateFlipd("image")] * (split == "train")
        sampler = BalancedSampler(cases, seed=1, length=8) if split == "train" else None
        return DataLoader(SeededDataset(cases, Compose(steps)), 4, sampler=sampler,
                          collate_fn=collate)

    def interrupt(self, engine: Engine) -> None:
        if engine.state.iteration == self.stop_at:
            raise Interrupted
        self.rates.append(self.optimizer.param_groups[0]["lr"])

    def note(self, engine: Engine) -> None:
        self.losses.append(self.evaluator.state.metrics["val_loss"])
        self.weights.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})

    def run(self) -> Run:
        self.trainer.run()
        return self

    def state(self) -> dict[str, Any]:
        return torch.load(self.folder / "resume.pt", weights_only=True)


@pytest.fixture(scope="module")
def data(make_prepared, tmp_path_factory):
    """A prepared dataset of breasts of 16 x 16 x 4 voxels with two channels."""
    return make_prepared(tmp_path_factory.mktemp("data"), channels=2, shape=(16, 16, 4))


def equal(a: Any, b: Any) -> bool:
    """Whether nested containers of tensors and numbers are the same, bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def disturb() -> None:
    """What another program in between does to the global random states."""
    torch.rand(7), np.random.rand(7), random.random()


# Two iterations an epoch: epoch 3 holds iterations 5 and 6.
@pytest.mark.parametrize("stops", [(6,), (5,), (3, 8), (1,)],
                         ids=["within an epoch", "between epochs", "twice", "before the first epoch's end"])
def test_interrupted_equals_uninterrupted_bit_for_bit(data, tmp_path, stops) -> None:
    whole = Run(tmp_path / "whole", data, max_epochs=5).run()
    for stop in stops:
        with pytest.raises(Interrupted):
            Run(tmp_path / "parts", data, max_epochs=5, stop_at=stop).run()
        disturb()
    last = Run(tmp_path / "parts", data, max_epochs=5).run()
    assert equal(last.network.state_dict(), whole.network.state_dict())
    assert equal(last.optimizer.state_dict(), whole.optimizer.state_dict())
    assert last.evaluator.state.best_metric == whole.evaluator.state.best_metric
    assert equal(last.state(), whole.state())
    assert equal(*(torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "parts")))
    assert last.losses == whole.losses[-len(last.losses):]


@pytest.mark.parametrize("stop", [4, 5, 6], ids=["before the drop", "with the drop's first step", "behind it"])
def test_a_schedule_goes_on_where_it_was(data, tmp_path, stop) -> None:
    settings = {"max_epochs": 5, "step": 2}
    whole = Run(tmp_path / "whole", data, **settings).run()
    assert whole.rates == pytest.approx([1e-2] * 4 + [1e-3] * 4 + [1e-4] * 2)
    with pytest.raises(Interrupted):
        Run(tmp_path / "parts", data, stop_at=stop, **settings).run()
    last = Run(tmp_path / "parts", data, **settings).run()
    assert last.rates == whole.rates[-len(last.rates):] and len(last.rates) < 10
    assert equal(last.state(), whole.state()) and whole.state()["scheduler"]["last_epoch"] == 5
    assert equal(last.network.state_dict(), whole.network.state_dict())


def test_another_seed_or_rate_gives_another_model(data, tmp_path) -> None:
    """Without this, the test above could compare constants."""
    first = Run(tmp_path / "a", data).run()
    assert equal(first.network.state_dict(), Run(tmp_path / "b", data).run().network.state_dict())
    assert not equal(first.network.state_dict(), Run(tmp_path / "c", data, lr=2e-2).run().network.state_dict())
    assert not equal(first.weights[0], first.weights[1])


def test_the_best_model_is_that_of_the_lowest_loss(data, tmp_path) -> None:
    run = Run(tmp_path, data, max_epochs=8, lr=0.3).run()
    best = int(np.argmin(run.losses))
    assert 0 < best < 7 or len(set(run.losses)) == 8  # the loss goes up and down at this rate
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    assert equal(kept, run.weights[best])
    assert run.state()["best_metric"] == pytest.approx(min(run.losses))
    assert run.state()["best_epoch"] == best + 1
    assert equal(run.state()["network"], run.weights[-1])


def test_early_stop_falls_on_the_same_epoch_after_an_interruption(data, tmp_path) -> None:
    settings = {"max_epochs": 30, "lr": 0.3, "patience": 2}
    whole = Run(tmp_path / "whole", data, **settings).run()
    epochs = len(whole.losses)
    assert epochs == int(np.argmin(whole.losses)) + 1 + 2 < 30
    with pytest.raises(Interrupted):
        Run(tmp_path / "parts", data, stop_at=2 * epochs, **settings).run()
    last = Run(tmp_path / "parts", data, **settings).run()
    assert last.state()["epoch"] == epochs and equal(last.state(), whole.state())


@pytest.mark.parametrize("settings", [{"max_epochs": 3}, {"max_epochs": 30, "lr": 0.3, "patience": 2}],
                         ids=["all epochs", "early stop"])
def test_a_finished_run_trains_no_further(data, tmp_path, settings, capsys) -> None:
    first = Run(tmp_path, data, **settings).run()
    before = (tmp_path / "resume.pt").read_bytes()
    again = Run(tmp_path, data, **settings).run()
    assert again.losses == [] and (tmp_path / "resume.pt").read_bytes() == before
    assert f"epoch {len(first.losses)} of" in capsys.readouterr().out


def test_a_run_started_afresh_forgets_the_old_one(data, tmp_path) -> None:
    first = Run(tmp_path, data, max_epochs=3).run()
    again = Run(tmp_path, data, max_epochs=3, resume=False).run()
    assert again.losses == first.losses


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:2000]),
    lambda path: path.write_bytes(path.read_bytes()[:-500]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_text("no checkpoint"),
    lambda path: torch.save({"network": {}}, path),
    lambda path: torch.save({"network": nn.Linear(3, 1).state_dict()}, path),
], ids=["first bytes only", "last bytes gone", "empty", "text", "no weights", "another network"])
def test_a_damaged_state_is_one_line(data, tmp_path, damage) -> None:
    Run(tmp_path, data, max_epochs=1).run()
    damage(tmp_path / "resume.pt")
    with pytest.raises(InputError, match=r"resume\.pt: .*--resume False") as error:
        Run(tmp_path, data, max_epochs=2).run()
    assert len(str(error.value).splitlines()) == 1 and str(tmp_path) not in str(error.value)


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_state(data, tmp_path) -> None:
    Run(tmp_path, data, max_epochs=1).run()
    before = {name: (tmp_path / name).read_bytes() for name in ("resume.pt", "model.pt")}
    run = Run(tmp_path, data, max_epochs=3)
    broken = run.network[0].register_forward_hook(lambda module, inputs, output: output * torch.nan)
    with pytest.raises(InputError, match=r"loss is not finite in step 3.*--lr"):
        run.run()
    broken.remove()
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("factor", [1e8, float("inf")])
def test_exploding_gradients_end_the_run(data, tmp_path, factor) -> None:
    run = Run(tmp_path, data, gradients=True)
    weight = run.network[-1].weight
    weight.register_hook(lambda gradient: gradient * (factor if run.trainer.state.iteration == 4 else 1))
    with pytest.raises(InputError, match=r"gradients exploded in step 4.*--precision fp32"):
        run.run()
    assert run.state()["epoch"] == 1


def test_gradients_that_vary_as_usual_do_not(data, tmp_path) -> None:
    run = Run(tmp_path, data, gradients=True)
    run.network[-1].weight.register_hook(lambda gradient: gradient * (1 + 99 * (run.trainer.state.iteration % 2)))
    assert len(run.run().losses) == 4


def bundle(prepared_folder: Path, output: Path, max_epochs: int) -> list[str]:
    root = Path("bundles", "breast_mri_curriculum")
    files = [str(root / "configs" / "train.yaml"), str(root / "configs" / "naive.yaml")]
    return [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(files), "--bundle_root", str(root),
            "--dataset_dir", str(prepared_folder), "--output_dir", str(output), "--ckpt_dir", str(output),
            "--cases_per_epoch", "4", "--batch_size", "2", "--workers", "0", "--max_epochs", str(max_epochs)]


@pytest.mark.slow
def test_sigterm_ends_with_143_and_the_same_command_goes_on(tiny_prepared, tmp_path) -> None:
    first = subprocess.Popen(bundle(tiny_prepared, tmp_path, max_epochs=500), stderr=subprocess.PIPE, cwd=ROOT,
                             stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "resume.pt").is_file() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 143
    assert "terminated: the last finished epoch is on disk; the same command goes on" in err
    assert "Traceback" not in err
    epoch = torch.load(tmp_path / "resume.pt", weights_only=True)["epoch"]
    second = subprocess.run(bundle(tiny_prepared, tmp_path, max_epochs=epoch + 1), cwd=ROOT, capture_output=True,
                            text=True)
    assert second.returncode == 0, second.stderr[-500:]
    assert f"resumed: epoch {epoch} of {epoch + 1}" in second.stdout
    assert torch.load(tmp_path / "resume.pt", weights_only=True)["epoch"] == epoch + 1
    assert not list(tmp_path.glob(".*.part"))
