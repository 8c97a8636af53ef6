"""What the holistic model's input size, batch and depth cost in memory and time (mammography paper, §4.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import measure
import torch
import torch.nn.functional as F

from pipeline.networks.mammogram_resnet import mammogram_resnet
from pipeline.training import precision

PAPER = (101, 976, 4)  # layers, pixels of a side, batch
CARD = 11178  # MB of GPU memory that the paper had
SETTINGS = [PAPER, (101, 976, 2), (101, 976, 1), (101, 1200, 4), (101, 720, 4), (101, 720, 8), (101, 488, 4),
            (101, 488, 16), (50, 976, 4), (18, 976, 4), (18, 1464, 4)]


def step(layers: int, side: int, batch: int, kind: str = "fp32") -> Callable[[], float]:
    """Build network and optimiser; returns one training step."""
    torch.manual_seed(0)
    network = mammogram_resnet(layers=layers)
    if kind == "bf16":
        network = precision._autocast(network, "cpu")
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    images, labels = torch.randn(batch, 1, side, side), torch.arange(batch) % 2

    def work() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(network(images).float(), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return work


def report() -> list[str]:
    """Measure one step of each setting with two threads; returns Markdown."""
    rows = []
    for kind, settings in (("fp32", SETTINGS), ("bf16", [PAPER])):
        for layers, side, batch in settings:
            run = measure.in_child(measure._timed, measure.Work(partial(step, layers, side, batch, kind), 1), threads=2)
            memory = run.peak - run.imports
            rows.append([f"ResNet{layers}", f"{side}×{side}", str(batch), kind, f"{memory:,.0f}",
                         "yes" if memory <= CARD else "no", f"{run.seconds:.1f}", f"{batch / run.seconds:.2f}"])
            print(f"  {rows[-1]}", flush=True)
    return [
        "## Mammograms: size, batch, depth",
        "",
        "One training step (forward, backward, Adam) of the holistic model on two threads, its first; the memory is",
        f"what the process adds to its imports. The paper chose ResNet101, 976×976, batch 4, within {CARD:,} MB of a",
        "GPU. A GPU's libraries need other work space: the column `fits` ranks settings and promises nothing.",
        "",
        *measure.table(["network", "input", "batch", "precision", "MB", "fits", "s/step", "images/s"], rows),
    ]
