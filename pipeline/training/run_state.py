"""Keep a run's state, so that it ends the same whether or not it was interrupted."""

from __future__ import annotations

import logging
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from pipeline.errors import InputError
from pipeline.files.receipts import digest, read_receipt, receipted
from pipeline.networks.checkpoint import ORIGIN, WEIGHTS
from pipeline.training import distributed
from pipeline.training.best_epochs import BestEpochs
from pipeline.training.guard import RECORD
from pipeline.training.random_state import get_random, set_random

logger = logging.getLogger(__name__)
STATE = "resume.pt"


class RunState:
    """Saves the best model and, after every epoch, all that a continuation needs; restores it at the start.

    Attach it after the handlers that validate and that step the schedule, and before `EarlyStop`, which needs what it
    restores: `Housekeeping` does, as the last entry of `train#handlers`.
    Files are written under a temporary name and renamed. The best model is a bare state dict, which
    `monai.bundle.load` and MONAI Label read. A SIGTERM ends the process with status 143; the last finished epoch is
    on disk by then.

    Args:
        network: the module whose state dict is saved (not its DistributedDataParallel wrapper).
        optimizer: its optimiser.
        output_dir: where `resume.pt` lies.
        ckpt_dir: where the best model goes.
        evaluator: its key metric decides which epoch is best; without one, the last is.
        filename: name of the best model.
        resume: go on from `resume.pt` where there is one.
        scheduler: of the learning rate; its state belongs to the run's where there is one.
        best_epochs: how many of the best epochs' weights are kept, as `pipeline.training.best_epochs` has them.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, output_dir: Path | str,
                 ckpt_dir: Path | str, evaluator: Engine | None = None, filename: str = "model.pt",
                 resume: bool = True, scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
                 best_epochs: int = 1) -> None:
        self.network = network
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.evaluator = evaluator
        self.state_path = Path(output_dir) / STATE
        self.best_path = Path(ckpt_dir) / filename
        self.epochs = BestEpochs(self.best_path, evaluator, best_epochs)
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.check)

    def restore(self, engine: Engine) -> None:
        """Take up the state of the last finished epoch."""
        _catch_sigterm(self.state_path)
        if not (self.resume and self.state_path.is_file()):
            return
        receipt = read_receipt(self.state_path, "state", "start afresh with --resume False")
        for key, here in _origin(engine).items():
            if receipt is not None and receipt["about"].get(key, here) != here:
                raise InputError(f"{self.state_path.name}: of a run on another {'fold' if key == 'fold' else 'dataset'}"
                                 "; choose another --output_dir, or start afresh with --resume False")
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scheduler is not None:
                self.scheduler.load_state_dict(state["scheduler"])
        except (RuntimeError, KeyError, EOFError, ValueError, OSError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or ["damaged"])[0][:100]
            raise InputError(f"{self.state_path.name}: does not fit this run ({reason}); "
                             "choose another --output_dir, or start afresh with --resume False") from None
        engine.state.epoch = state["epoch"]
        # As many steps as these epochs have here: another number of processes has others, and ignite counts them.
        engine.state.iteration = state["epoch"] * (engine.state.epoch_length or 0)
        if self.evaluator is not None:
            self.evaluator.state.best_metric = state["best_metric"]
            self.evaluator.state.best_metric_epoch = state["best_epoch"]
        self.epochs.ranked = state.get("best_epochs", [])
        if distributed.is_first():
            self.epochs.tidy()
        kept = state["random"] if isinstance(state["random"], list) else [state["random"]]  # of one process, once
        set_random(kept[distributed.own_number() % len(kept)])
        done = engine.state.epoch >= (engine.state.max_epochs or 0)
        if distributed.is_first():
            print(f"{'already finished' if done else 'resumed'}: epoch {engine.state.epoch} of "
                  f"{engine.state.max_epochs} is on disk", flush=True)

    def check(self, engine: Engine) -> None:
        """A run that validated no epoch has chosen none."""
        if self.evaluator is not None and self.evaluator.state.best_metric_epoch < 1:
            raise InputError(f"no epoch of {engine.state.max_epochs} had a validation metric, and no model was kept; "
                             "set max_epochs to val_interval at least")

    def save(self, engine: Engine) -> None:
        """Write the best model where this epoch is it, and what is kept of others, then the state."""
        random_states = distributed.gather(get_random())
        if not distributed.is_first():
            return
        best = self.evaluator.state.best_metric_epoch if self.evaluator is not None else engine.state.epoch
        record = self.state_path.with_name(RECORD)
        parents = {RECORD: digest(record)} if record.is_file() else {}
        own = self.epochs.rank(engine.state.epoch)
        for path in [*([self.best_path] if best == engine.state.epoch else []), *([own] if own else [])]:
            with receipted(path, WEIGHTS, {**_origin(engine), "epoch": engine.state.epoch}, parents) as temporary:
                _write(temporary, self.network.state_dict())
        state = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **({"scheduler": self.scheduler.state_dict()} if self.scheduler is not None else {}),
            "best_metric": float(self.evaluator.state.best_metric) if self.evaluator is not None else 0.0,
            "best_epoch": int(best),
            **({"best_epochs": self.epochs.ranked} if self.epochs.ranked else {}),
            "precision": getattr(self.network, "precision", None),  # of `place`
            "random": random_states,
        }
        with receipted(self.state_path, "state", {**_origin(engine), "epoch": engine.state.epoch}) as temporary:
            _write(temporary, state)
        self.epochs.tidy()


def _write(path: Path, content: Any) -> None:
    # To an open file: the archive would else hold the temporary name, and a full disk would be no OSError.
    with path.open("wb") as file:
        torch.save(content, file)


def _origin(engine: Engine) -> dict[str, Any]:
    """Whose weights these are: the fold that they were trained in, and of which assignment of patients to folds."""
    cases = getattr(getattr(engine.state.dataloader, "dataset", None), "data", None)
    return {key: cases[0][key] for key in ORIGIN if key in cases[0]} if cases else {}


def _catch_sigterm(state_path: Path) -> None:
    def stop(signum: int, frame: Any) -> None:
        kept = "the last finished epoch is on disk" if state_path.is_file() else "no epoch was finished yet"
        if distributed.speaks():
            print(f"terminated: {kept}; the same command goes on from there", file=sys.stderr, flush=True)
        raise SystemExit(143)

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, as under a server: the host's own handling stays
        logger.debug("SIGTERM is left to the host")
