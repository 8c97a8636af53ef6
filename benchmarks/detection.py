"""The paper's four methods at its size: a training step and an inference, as a ratio to the curriculum's."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import network
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from pipeline.networks.detection import mask_rcnn, retina_unet

BATCH = 2  # whole breasts a step: what all methods have the memory for
RATE = 1e-4
KINDS = {"ResNet18, naive and curriculum": None, "Mask R-CNN": mask_rcnn, "Retina U-Net": retina_unet}
PARTS = {"match": "matching", "sample": "matching", "select": "suppression", "pyramid_roi_align": "RoIAlign",
         "roi_align": "RoIAlign"}
BACKWARD = "aten::grid_sampler_3d_backward"  # RoIAlign's way back


def build(kind: str) -> nn.Module:
    """A network of that kind with random weights; both of the curriculum's methods have the same."""
    if KINDS[kind] is None:
        return network.build("ours")
    torch.manual_seed(0)
    return mask_rcnn.MaskRCNN() if kind == "Mask R-CNN" else retina_unet.RetinaUNet()


def target(shape: Sequence[int]) -> dict[str, torch.Tensor]:
    """Two lesions, of 12 × 12 × 4 and of 24 × 20 × 6 voxels, in an image of this size."""
    boxes = torch.tensor([[8.0, 8, 1, 20, 20, 5], [32, 30, 2, 56, 50, 8]])
    mask = torch.zeros(1, *shape, dtype=torch.uint8)
    for number, (x0, y0, z0, x1, y1, z1) in enumerate(boxes.int().tolist(), start=1):
        mask[0, x0:x1, y0:y1, z0:z1] = number
    return {"boxes": boxes, "labels": torch.tensor([1, 2]), "mask": mask}


def losses(kind: str, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """The loss of a step."""
    if KINDS[kind] is None:
        return F.cross_entropy(model(images), torch.arange(len(images)) % 2)
    return model(images, [target(images.shape[2:])] * len(images))["loss"]


def counts(breasts: Sequence[Path], kind: str) -> float:
    """GFLOP in convolutions of one breast on its way through, with all that training needs of it."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        losses(kind, build(kind), network.batch(breasts, "stage 2", "ours", 1))
    return counter.get_total_flops() / 1e9


def measured(breasts: Sequence[Path], kind: str) -> dict[str, float]:
    """An answer, then a training step: seconds of the processor, memory, and the step's parts by PARTS' names."""
    module: Any = KINDS[kind]
    for name in PARTS.keys() & vars(module).keys() if module else ():
        setattr(module, name, _recorded(PARTS[name], getattr(module, name)))
    model = build(kind)
    images = network.batch(breasts, "stage 2", "ours", BATCH)
    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def answer(seen: torch.Tensor) -> None:
        with torch.inference_mode():
            model.eval()(seen)

    def step(seen: torch.Tensor) -> None:
        optimizer.zero_grad()
        losses(kind, model.train(), seen).backward()
        optimizer.step()

    found = {}
    for name, work, seen in (("answer", answer, images[:1]), ("step", step, images)):
        work(seen[..., :64, :64, :16])  # warms up
        with profile(activities=[ProfilerActivity.CPU]) as profiled, record_function("all"):
            start = time.process_time()
            work(seen)
            found[name] = time.process_time() - start
        found[f"{name}, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / measure.MEGABYTE
    spent = {event.key: event.cpu_time_total for event in profiled.key_averages()}
    spent["RoIAlign"] = spent.get("RoIAlign", 0.0) + spent.get(BACKWARD, 0.0)
    return {**found, **{part: spent.get(part, 0.0) / spent["all"] for part in PARTS.values()}}


def _recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)
    return call


def report(breasts: Sequence[Path], repeats: int) -> list[str]:
    """Measure answers, steps and the parts of a step; returns Markdown."""
    flops = {kind: measure.in_child(counts, breasts, kind) for kind in KINDS}
    runs: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(repeats):
        for kind in KINDS:
            runs[kind].append(measure.in_child(measured, breasts, kind, threads=1))
            print(f"  {kind}: {runs[kind][-1]}", flush=True)

    def middle(kind: str, name: str) -> float:
        return statistics.median(run[name] for run in runs[kind])

    rows = [[what, kind, f"{middle(kind, what):.1f}", f"{middle(kind, what) / middle(next(iter(KINDS)), what):.1f}",
             f"{middle(kind, f'{what}, MB'):,.0f}"] for what in ("step", "answer") for kind in KINDS]
    return [
        "## Detectors beside the curriculum",
        "",
        f"Whole phantom breasts of 6×256×256×32 from memory, fp32, one thread: a step of {BATCH} with Adam, and the",
        "answer for one, a detector's boxes included. Naive and curriculum are one network. Seconds are the",
        "processor's. GFLOP in convolutions of a breast on its way through in training:",
        f"{'; '.join(f'{kind} {count:.1f}' for kind, count in flops.items())}. An answer needs no outlines, so that",
        "P0 and the masks' head are left out of it.",
        "",
        *measure.table(["work", "method", "s", "× ResNet18", "peak MB"], rows),
        "Parts of a training step (there and back) that are no convolutions:",
        "",
        *(f"- {kind}: " + ", ".join(f"{part} {middle(kind, part):.1%}" for part in dict.fromkeys(PARTS.values())) + "."
          for kind, module in KINDS.items() if module is not None),
        "",
    ]
