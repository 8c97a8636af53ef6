"""What every training does beside learning, as one entry of `train#handlers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from ignite.handlers.tqdm_logger import ProgressBar
from monai.handlers import TensorBoardStatsHandler
from torch import nn

from pipeline.errors import InputError
from pipeline.training.early_stop import EarlyStop
from pipeline.training.history import History
from pipeline.training.run_state import RunState
from pipeline.training.stop_on_divergence import StopOnDivergence
from pipeline.training.together import Together


class Housekeeping:
    """Shows and records how a training goes, keeps its best epoch and its state, and ends it where it should end.

    In this order: what several processes do alike (`Together`); an end with an error where the numbers are lost
    (`StopOnDivergence`); a progress bar on a terminal; loss and learning rate of every step and the training metrics of
    every epoch in TensorBoard; `history.csv` (`History`); the best model and the state to resume from (`RunState`); the
    early stop (`EarlyStop`).

    Put it last in `train#handlers`: behind the handler that validates, whose result it writes, and behind the one that
    steps the schedule, whose state it saves. A literal entry, because MONAI Label walks the list.

    Args:
        network: the module whose state dict is saved (not its DistributedDataParallel wrapper).
        optimizer: its optimiser.
        evaluator: what validates; its key metric says which epoch is best.
        output_dir: folder of TensorBoard, `history.csv` and `resume.pt`.
        ckpt_dir: folder of the model.
        model_name: the model's file.
        scheduler: of the learning rate, where there is a schedule.
        keep: `best`, the model of the best epoch by the evaluator's key metric, or `last`: nothing is selected.
        patience: epochs without a better key metric before the end; None: train all epochs. Needs `keep` = `best`.
        precision: of the training; other than `fp32`, gradients are watched too.
        resume: go on from `resume.pt` where there is one.
        quiet: no progress bar, TensorBoard and `history.csv`, as in all processes but the first.
        best_epochs: how many of the best epochs' weights are kept, the best model's among them, for answers that are
            merged of theirs. More than one needs `keep` = `best`.

    Raises:
        InputError: `keep` is neither, or a patience or several epochs without a best one; attached, no step in an
            epoch.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, evaluator: Engine,
                 output_dir: Path | str, ckpt_dir: Path | str, model_name: str = "model.pt",
                 scheduler: torch.optim.lr_scheduler.LRScheduler | None = None, keep: str = "best",
                 patience: int | None = None, precision: str = "fp32", resume: bool = True,
                 quiet: bool = False, best_epochs: int = 1) -> None:
        if keep not in ("best", "last"):
            raise InputError(f"keep is {keep!r}; choose best or last")
        if keep == "last" and patience is not None:
            raise InputError("patience counts from the best epoch; set keep to best, or patience to null")
        if keep == "last" and best_epochs > 1:
            raise InputError("best_epochs are the best by validation; set keep to best, or best_epochs to 1")
        self.parts: list[Any] = [Together(network, evaluator), StopOnDivergence(network, gradients=precision != "fp32")]
        if not quiet:
            self.parts += [
                ProgressBar(persist=False, disable=None),  # None: shown on a terminal only
                TensorBoardStatsHandler(log_dir=str(output_dir), output_transform=lambda output: {
                    "train_loss": output["loss"], "learning_rate": optimizer.param_groups[0]["lr"]}),
                History(evaluator, optimizer, output_dir),
            ]
        self.parts.append(RunState(network, optimizer, output_dir, ckpt_dir, evaluator if keep == "best" else None,
                                   model_name, resume, scheduler, best_epochs))
        if patience is not None:
            self.parts.append(EarlyStop(evaluator, patience))

    def attach(self, engine: Engine) -> None:
        if engine.state.epoch_length == 0:  # MONAI would pass over the training with a warning
            raise InputError("an epoch has fewer cases than one step takes; lower batch_size, raise cases_per_epoch, "
                             "or start fewer processes")
        for part in self.parts:
            part.attach(engine)
