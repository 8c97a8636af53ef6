"""Mixed precision as a switch: bfloat16 on GPUs, and on CPUs only where it is proved on the spot.

On CPUs with AMX, oneDNN's bfloat16 3D convolutions return wrong gradients at some shapes, at times finite ones of
1e26. MONAI's `amp` does nothing on a CPU. So a CPU run that asks for bfloat16 first trains a copy for a few steps in
both precisions, on the run's own batches: gradients must stay finite and of the same size, and the loss curves
must agree. While it trains, `StopOnDivergence` stops a run whose gradients explode.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.errors import InputError
from pipeline.training.distributed import share

PRECISIONS = ("fp32", "bf16", "auto")


def place(network: nn.Module, device: torch.device | str, precision: str = "fp32",
          batches: Iterable[dict[str, Any]] | None = None, lr: float = 1e-4,
          loss: Callable[..., torch.Tensor] = F.cross_entropy) -> nn.Module:
    """Move a network to its device, for `bf16` run its forward pass under autocast, and share it between processes.

    Parameters, their names and the optimiser stay float32; the output is float32.

    Args:
        network: changed in place.
        device: where it runs.
        precision: `fp32`, `bf16`, or `auto`: bfloat16 where the proof succeeds.
        batches: training batches for the proof on a CPU.
        lr, loss: the run's learning rate and loss, for the same proof.

    Raises:
        InputError: bfloat16 disagrees with float32 on this processor at these shapes.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}; use one of {', '.join(PRECISIONS)}")
    device = torch.device(device)
    network = network.to(device)
    if precision != "fp32":
        doubt = _prove(network, batches, lr, loss) if device.type == "cpu" and batches is not None else None
        if doubt and precision == "bf16":
            raise InputError(f"{doubt}; use --precision fp32")
        if doubt:
            print(f"precision: fp32, because {doubt}", flush=True)
        else:
            network = _autocast(network, device.type)
    return share(network)


def _autocast(network: nn.Module, kind: str) -> nn.Module:
    plain = network.forward

    def forward(*args: Any, **kwargs: Any) -> torch.Tensor:
        with torch.autocast(kind, torch.bfloat16):
            result = plain(*args, **kwargs)
        return result.float()

    network.forward = forward
    return network


def _prove(network: nn.Module, batches: Iterable[dict[str, Any]], lr: float, loss: Callable[..., torch.Tensor],
           steps: int = 4) -> str | None:
    """Train copies of the network in both precisions on the same batches; returns what differs, None if nothing."""
    data = [(b["image"], torch.as_tensor(b["label"])) for b in itertools.islice(batches, steps)]
    curves = []
    for bf16 in (False, True):
        model = copy.deepcopy(network)
        if bf16:
            model = _autocast(model, "cpu")
        optimizer = torch.optim.Adam(model.parameters(), lr)
        curve = []
        for image, label in data:
            optimizer.zero_grad()
            value = loss(model(image), label)
            value.backward()
            curve.append((value.item(), gradient_norm(model)))
            optimizer.step()
        curves.append(torch.tensor(curve, dtype=torch.float64))
    exact, fast = curves
    ratio = fast[:, 1] / exact[:, 1]
    gap = (fast[:, 0] - exact[:, 0]).abs().mean() / exact[:, 0].abs().mean()
    if torch.isfinite(fast).all() and ratio.min() > 0.5 and ratio.max() < 2.0 and gap < 0.1:
        return None
    return (f"bf16 disagrees with fp32 on this processor at {tuple(data[0][0].shape)}: gradient norms by a factor of "
            f"{ratio.min():.2g} to {ratio.max():.2g}, losses by {gap:.0%}")


def gradient_norm(network: nn.Module) -> float:
    """Euclidean norm of all gradients."""
    norms = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0
