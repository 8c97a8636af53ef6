"""The paper's four methods at its size: a training step and an inference, as a ratio to the curriculum's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
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


def step(breasts: Sequence[Path], kind: str) -> Callable[[], None]:
    """Warm up on small images; returns one training step."""
    model, images = build(kind), network.batch(breasts, "stage 2", "ours", BATCH)
    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def run(seen: torch.Tensor) -> None:
        optimizer.zero_grad()
        losses(kind, model, seen).backward()
        optimizer.step()

    run(images[..., :64, :64, :16])
    return partial(run, images)


def inference(breasts: Sequence[Path], kind: str) -> Callable[[], None]:
    """Warm up on a small image; returns the answer for one breast, a detector's boxes included."""
    model, image = build(kind).eval(), network.batch(breasts, "stage 2", "ours", 1)

    def run(seen: torch.Tensor) -> None:
        with torch.inference_mode():
            model(seen)

    run(image[..., :64, :64, :16])
    return partial(run, image)


def counts(breasts: Sequence[Path], kind: str) -> float:
    """GFLOP in convolutions of one breast on its way through, with all that training needs of it."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        losses(kind, build(kind), network.batch(breasts, "stage 2", "ours", 1))
    return counter.get_total_flops() / 1e9


def shares(breasts: Sequence[Path], kind: str) -> dict[str, float]:
    """Parts of a training step's processor time that are no convolutions, one thread."""
    module: Any = KINDS[kind]
    for name in PARTS.keys() & vars(module).keys():
        setattr(module, name, _recorded(PARTS[name], getattr(module, name)))
    run = step(breasts, kind)
    with profile(activities=[ProfilerActivity.CPU]) as profiled, record_function("step"):
        run()
    spent = {event.key: event.cpu_time_total for event in profiled.key_averages()}
    spent["RoIAlign"] = spent.get("RoIAlign", 0.0) + spent.get(BACKWARD, 0.0)
    return {part: spent.get(part, 0.0) / spent["step"] for part in dict.fromkeys(PARTS.values())}


def _recorded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)
    return call


def report(breasts: Sequence[Path], repeats: int) -> list[str]:
    """Measure steps, answers and the parts of a step; returns Markdown."""
    flops = {kind: measure.in_child(counts, breasts, kind) for kind in KINDS}
    works = {f"{what}, {kind}": measure.Work(partial(ready, breasts, kind))
             for what, ready in (("step", step), ("answer", inference)) for kind in KINDS}
    runs = measure.take_turns(works, repeats)
    rows = []
    for n in measure.THREADS:
        for what in ("step", "answer"):
            base = runs[f"{what}, {next(iter(KINDS))}", n]
            for kind in KINDS:
                own = runs[f"{what}, {kind}", n]
                rows.append([str(n), what, kind, own.time(), own.times(base), f"{own.peak:,.0f}"])
    parts = {kind: measure.in_child(shares, breasts, kind, threads=1) for kind in KINDS if KINDS[kind] is not None}
    return [
        "## Detectors beside the curriculum",
        "",
        f"Whole phantom breasts of 6×256×256×32 from memory, fp32: a step of {BATCH} with Adam, and the answer for",
        "one, a detector's boxes included. Naive and curriculum are one network. GFLOP in convolutions of a breast on",
        f"its way through in training: {'; '.join(f'{kind} {count:.1f}' for kind, count in flops.items())}.",
        "An answer needs no outlines, so that P0 and the masks' head are left out of it.",
        "",
        *measure.table(["threads", "work", "method", "s", "× ResNet18", "peak MB"], rows),
        measure.told(runs),
        "",
        "Parts of a training step on one thread (there and back) that are no convolutions:",
        "",
        *(f"- {kind}: " + ", ".join(f"{name} {share:.1%}" for name, share in found.items()) + "."
          for kind, found in parts.items()),
        "",
    ]
