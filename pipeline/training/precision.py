"""Mixed precision as a switch: bfloat16 on GPUs, and on CPUs only where it is proved on the spot.

On CPUs with AMX or AVX512_BF16, oneDNN's bfloat16 3D convolutions return wrong gradients at some shapes, at times
finite ones of 1e26. MONAI's `amp` does nothing on a CPU. So a CPU run that asks for bfloat16 first trains a copy for a
few steps in both precisions, on the run's own batches: gradients must stay finite and of the same size, and the loss
curves must agree. While it trains, `StopOnDivergence` stops a run whose gradients explode.

A processor without units for it emulates bfloat16, up to twenty times slower than float32, and one with some may gain
nothing. `auto` times the same steps, and takes bfloat16 where it is half as fast again or more.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.errors import InputError
from pipeline.training.distributed import all_agree, is_first, share
from pipeline.training.random_state import kept_random
from pipeline.training.run_state import STATE

PRECISIONS = ("fp32", "bf16", "auto")
STEPS = 4  # of the trial; the first is warm-up and not timed
WORTH = 1.5  # times faster bf16 must be for `auto`: its gradients are coarser, and some steps later may explode
TOO_SLOW = 3.0  # times the same step in fp32 …
GRACE = 0.5  # … and seconds more, for kernels that are made at first use: there the trial of `auto` ends


def place(network: nn.Module, device: torch.device | str, precision: str = "fp32",
          batches: Iterable[dict[str, Any]] | None = None, lr: float = 1e-4,
          loss: Callable[..., torch.Tensor] = F.cross_entropy, slices: int | None = None,
          inputs: Sequence[str] = ("image",)) -> nn.Module:
    """Move a network to its device, for `bf16` run its forward pass under autocast, and share it between processes.

    Parameters, their names and the optimiser stay float32; the output is float32, a tensor or several in dictionaries
    and lists. What was chosen is the network's attribute `precision`, `fp32` or `bf16`. Weights and random states are
    as if there had been no trial.

    Args:
        network: changed in place.
        device: where it runs.
        precision: `fp32`, `bf16`, or `auto`: on a CPU the faster of those that agree, elsewhere bfloat16.
        batches: training batches for the trial on a CPU; without them `bf16` is not proved, and `auto` is fp32.
        lr, loss: the run's learning rate and loss, for the same trial.
        slices: how many of an image's the trial sees, the middle ones along the last axis; None for all. A few are
            enough for a network that works slice by slice, whose whole exams take minutes.
        inputs: what the network takes of a batch, by key and in this order; each can be cut case by case.

    Raises:
        InputError: bfloat16 disagrees with float32 on this processor at these shapes.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; use one of {', '.join(PRECISIONS)}")
    device = torch.device(device)
    network = network.to(device)
    chosen = {"auto": "bf16"}.get(precision, precision)
    if chosen == "bf16" and device.type == "cpu":
        trial = functools.partial(compare, network, lr=lr, loss=loss, slices=slices, inputs=inputs)
        if precision == "auto":
            chosen = "fp32" if batches is None else _faster(functools.partial(trial, batches))
        elif batches is not None and (doubt := trial(batches).doubt):
            raise InputError(f"{doubt}; use --precision fp32")
    network.precision = chosen  # type: ignore[assignment]
    return share(_autocast(network, device.type) if chosen == "bf16" else network)


def begun(precision: str, output_dir: Path | str, resume: bool = True) -> str:
    """What `auto` was for the run that goes on in this folder; other precisions, and a new run's, as they are.

    Timed again, perhaps on another machine, the choice might be another one, and the run no longer the one it was.
    """
    path = Path(output_dir) / STATE
    if precision != "auto" or not resume or not path.is_file():
        return precision
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)["precision"] or precision
    except (RuntimeError, KeyError, TypeError, EOFError, ValueError, OSError, pickle.UnpicklingError):
        return precision  # RunState says what is wrong with the file


def _faster(compared: Callable[..., Trial]) -> str:
    """`fp32` or `bf16` by a trial on this CPU, the same in all processes; prints which and why."""
    trial = compared(patient=False) if has_bf16() else Trial("this processor has no unit for bf16", 0.0, math.inf)
    chosen = "bf16" if all_agree(trial.prefers_bf16) else "fp32"
    if is_first():
        print(f"precision: {chosen}, {'because ' + trial.doubt if trial.doubt else trial.times()}", flush=True)
    return chosen


def has_bf16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU; without, one layer of a breast alone can take half a minute."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build without oneDNN, or another name for it
        return True  # then the trial tells


@dataclass
class Trial:
    """How bfloat16 compares with float32 on this processor.

    Attributes:
        doubt: what speaks against bfloat16 whatever its speed, None if nothing.
        fp32: seconds of the fastest step after the first.
        bf16: likewise; infinity where the trial was given up.
    """

    doubt: str | None
    fp32: float
    bf16: float

    @property
    def prefers_bf16(self) -> bool:
        return self.doubt is None and WORTH * self.bf16 < self.fp32

    def times(self) -> str:
        other = f"{self.bf16:.2g} s" if math.isfinite(self.bf16) else f"given up at over {TOO_SLOW:.0f} times as much"
        little = f", not {WORTH} times faster" if self.bf16 < self.fp32 and not self.prefers_bf16 else ""
        return f"by the time of a training step: fp32 {self.fp32:.2g} s, bf16 {other}{little}"


def compare(network: nn.Module, batches: Iterable[dict[str, Any]], lr: float,
            loss: Callable[..., torch.Tensor] = F.cross_entropy, patient: bool = True,
            slices: int | None = None, inputs: Sequence[str] = ("image",)) -> Trial:
    """Train copies of the network in both precisions, by turns on the same batches and random numbers.

    Args:
        network: on a CPU; left as it is.
        batches: with `image`, `label` and other inputs; the first four are used.
        lr, loss: of the run.
        patient: wait for bfloat16 however long it takes; otherwise it is given up, within a layer's time, in a step
            that takes longer than `TOO_SLOW` times float32's and `GRACE`; the first step has two cases then.
        slices: of every image, the middle ones along its last axis; None for all.
        inputs: what the network takes of a batch, by key.
    """
    with kept_random():
        data = [([_middle(b[key], slices) if key == "image" else b[key] for key in inputs],
                 torch.as_tensor(b["label"])) for b in itertools.islice(batches, STEPS)]
        exact = _Copy(copy.deepcopy(network), lr, loss)
        fast = _Copy(_autocast(copy.deepcopy(network), "cpu"), lr, loss)
    if not patient:
        data[0] = [given[:2] for given in data[0][0]], data[0][1][:2]
    for given, label in data:
        exact.step(given, label)
        try:
            fast.step(given, label, math.inf if patient else TOO_SLOW * exact.seconds[-1] + GRACE)
        except _TooSlow:
            return Trial(None, exact.fastest(), math.inf)
    return Trial(_doubt(torch.tensor(exact.curve, dtype=torch.float64), torch.tensor(fast.curve, dtype=torch.float64),
                        tuple(data[-1][0][0].shape)), exact.fastest(), fast.fastest())


def _middle(images: torch.Tensor, slices: int | None) -> torch.Tensor:
    """The middle slices along the last axis, at most so many."""
    count = min(slices or images.shape[-1], images.shape[-1])
    return images.narrow(-1, (images.shape[-1] - count) // 2, count)


class _TooSlow(Exception):
    """A step has passed its limit."""


class _Copy:
    """A copy of a network that trains for the trial: its loss and gradient norm, and seconds, of every step."""

    def __init__(self, model: nn.Module, lr: float, loss: Callable[..., torch.Tensor]) -> None:
        self.model, self.loss = model, loss
        self.optimizer = torch.optim.Adam(model.parameters(), lr)
        self.curve: list[tuple[float, float]] = []
        self.seconds: list[float] = []
        self.deadline = math.inf
        for layer in model.modules():
            layer.register_forward_hook(self._look)

    def step(self, given: Sequence[Any], label: torch.Tensor, limit: float = math.inf) -> None:
        start = time.perf_counter()
        self.deadline = start + limit
        with kept_random():
            self.optimizer.zero_grad()
            value = self.loss(self.model(*given), label)
            value.backward()
            norm = gradient_norm(self.model)
            self.optimizer.step()
        self.seconds.append(time.perf_counter() - start)
        self.curve.append((value.item(), norm))

    def fastest(self) -> float:
        return min(self.seconds[1:] or self.seconds)

    def _look(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        """Stop between two layers, forwards or backwards: one step alone can take minutes."""
        self._check()
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(self._check)

    def _check(self, gradient: torch.Tensor | None = None) -> None:
        if time.perf_counter() > self.deadline:
            raise _TooSlow


def _autocast(network: nn.Module, kind: str) -> nn.Module:
    plain = network.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(kind, torch.bfloat16):
            result = plain(*args, **kwargs)
        return _float32(result)

    network.forward = forward
    return network


def _float32(result: Any) -> Any:
    """Real numbers of a network's output in float32, also within dictionaries and lists; all else as it is."""
    if isinstance(result, Mapping):
        return {key: _float32(value) for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return type(result)(_float32(value) for value in result)
    return result.float() if isinstance(result, torch.Tensor) and result.is_floating_point() else result


def _doubt(exact: torch.Tensor, fast: torch.Tensor, shape: tuple[int, ...]) -> str | None:
    """What differs between two runs' losses and gradient norms, (steps, 2); None if nothing."""
    if not torch.isfinite(fast).all():
        steps = int((~torch.isfinite(fast).all(dim=1)).sum())
        return (f"bf16 disagrees with fp32 on this processor at {shape}: losses or gradients of {steps} in {len(fast)} "
                "steps are not finite")
    ratio = fast[:, 1] / exact[:, 1]
    gap = (fast[:, 0] - exact[:, 0]).abs().mean() / exact[:, 0].abs().mean()
    if ratio.min() > 0.5 and ratio.max() < 2.0 and gap < 0.1:
        return None
    return (f"bf16 disagrees with fp32 on this processor at {shape}: gradient norms by a factor of "
            f"{ratio.min():.2g} to {ratio.max():.2g}, losses by {gap:.0%}")


def gradient_norm(network: nn.Module) -> float:
    """Euclidean norm of all gradients."""
    norms = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0
