"""A training step and an inference: our network, the same one written plainly, and the machine's peak."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import measure
import torch
import torch.nn.functional as F
from plain import PlainNetwork
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.networks.curriculum_resnet import CurriculumResNet
from pipeline.training import precision
from transforms.augment import RandRotateFlip
from transforms.breast_mri.kinetics import KineticChannels
from transforms.read_prepared import LoadPreparedd

CHANNELS = ("pre", "post1", "post2", "post3", "post4", "t2")
BATCH = 4
RATE = 1e-5
SHAPES = {"stage 2": (256, 256, 32), "stage 1": (64, 64, 4)}  # (x, y, z)
_SIDE = 4096  # of the matrices whose product shows the machine's peak


def build(kind: str) -> nn.Module:
    """A network with the weights that all kinds share: `ours`, `ours, bf16` or `plain`."""
    torch.manual_seed(0)
    network = CurriculumResNet(len(CHANNELS))
    network.classifier.reset_parameters()  # it starts at zero: all logits and most gradients would agree by that
    if kind == "plain":
        plain = PlainNetwork(len(CHANNELS))  # kernels (z, y, x) become (x, y, z)
        plain.load_state_dict({name: w.permute(0, 1, 4, 3, 2).contiguous() if w.ndim == 5 else w
                               for name, w in network.state_dict().items()})
        return plain
    return precision._autocast(network, "cpu") if kind == "ours, bf16" else network


def batch(breasts: Sequence[Path], stage: str, kind: str, size: int = BATCH, seed: int = 0) -> torch.Tensor:
    """Breasts as training sees them, or as many patches from their middle: `(B, C, X, Y, Z)`."""
    read, move, kinetics = LoadPreparedd("image"), RandRotateFlip(), KineticChannels(CHANNELS)
    move.set_random_state(seed)
    sizes = zip(SHAPES["stage 2"], SHAPES[stage], strict=True)
    box = tuple(slice((n - m) // 2, (n + m) // 2) for n, m in sizes)
    cases = itertools.islice(itertools.cycle(breasts), size)
    images = [move(kinetics(read({"image": path})["image"]))[(slice(None), *box)] for path in cases]
    if kind == "plain":
        return torch.stack([image.contiguous() for image in images])
    return torch.stack([image.permute(0, 3, 2, 1) for image in images]).permute(0, 1, 4, 3, 2)


def step(breasts: Sequence[Path], stage: str, kind: str) -> Callable[[], None]:
    """Warm up on one case; returns one training step."""
    network, images = build(kind), batch(breasts, stage, kind)
    labels = torch.arange(BATCH) % 2
    optimizer = torch.optim.Adam(network.parameters(), RATE)

    def run(size: int = BATCH) -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images[:size]), labels[:size]).backward()
        optimizer.step()

    run(1)
    return run


def inference(breasts: Sequence[Path], kind: str) -> Callable[[], None]:
    """Warm up; returns the inference of one breast."""
    network, image = build(kind).eval(), batch(breasts, "stage 2", kind, 1)

    def run() -> None:
        with torch.inference_mode():
            network(image)

    run()
    return run


def product(dtype: torch.dtype) -> Callable[[], None]:
    """Warm up; returns a product of large matrices."""
    a, b = torch.randn(2, _SIDE, _SIDE).to(dtype).unbind()
    out = torch.mm(a, b)
    return partial(torch.mm, a, b, out=out)


def counts(breasts: Sequence[Path]) -> dict[str, float]:
    """GFLOP in convolutions: of one inference, and of a step of each stage."""
    found = {}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build("ours")(batch(breasts, "stage 2", "ours", 1))
    found["inference"] = counter.get_total_flops() / 1e9
    for stage in SHAPES:
        image = batch(breasts, stage, "ours", 1)
        with FlopCounterMode(display=False) as counter:
            F.cross_entropy(build("ours")(image), torch.tensor([0])).backward()
        found[stage] = BATCH * counter.get_total_flops() / 1e9
    return found


def agreement(breasts: Sequence[Path]) -> dict[str, float]:
    """Differences to ours in fp32: the largest of a logit and, of `plain`, the gradients' relative norm."""
    logits, gradients = {}, {}
    for kind in ("ours", "plain", "ours, bf16"):
        network, images = build(kind), batch(breasts, "stage 2", kind, 2)
        output = network(images) if kind != "ours, bf16" else torch.no_grad()(network)(images)
        logits[kind] = output.detach()
        if kind != "ours, bf16":
            F.cross_entropy(output, torch.arange(2)).backward()
            gradients[kind] = [p.grad.permute(0, 1, 4, 3, 2) if kind == "plain" and p.ndim == 5 else p.grad
                               for p in network.parameters()]
    both = list(zip(gradients["ours"], gradients["plain"], strict=True))
    gap = torch.cat([(a - b).flatten() for a, b in both]).norm()
    size = torch.cat([a.flatten() for a, _ in both]).norm()
    return {"plain": float((logits["plain"] - logits["ours"]).abs().max()),
            "bf16": float((logits["ours, bf16"] - logits["ours"]).abs().max()),
            "size": float(logits["ours"].abs().max()), "gradients": float(gap / size)}


def doubt(breasts: Sequence[Path], stage: str) -> str | None:
    """What `pipeline.training.precision` holds against training in bf16 here; None if nothing."""
    labels = torch.arange(BATCH) % 2
    batches = [{"image": batch(breasts, stage, "ours", seed=i), "label": labels} for i in range(4)]
    return precision.compare(build("ours"), batches, RATE).doubt


def report_steps(breasts: Sequence[Path], repeats: int) -> list[str]:
    """Measure training steps of both stages; returns Markdown."""
    (flops, same), works, notes = _facts(tuple(breasts)), dict(_peaks()), []
    for stage in SHAPES:
        calls = 1 if stage == "stage 2" else 10
        for kind in ("ours", "plain"):
            works[f"{stage}, {kind}"] = measure.Work(partial(step, breasts, stage, kind), calls)
        reason = measure.in_child(doubt, breasts, stage)
        if reason is None:
            works[f"{stage}, ours, bf16"] = measure.Work(partial(step, breasts, stage, "ours, bf16"), calls)
        notes.append(f"- {stage}: {reason or 'the trial agrees; it cannot tell whether a whole run does'}.")
    runs = measure.take_turns(works, repeats)
    rows = [row for stage in SHAPES for n in measure.THREADS for row in _rows(runs, stage, n, flops[stage])]
    return [
        "## A training step",
        "",
        f"Batch of {BATCH}, Adam, phantom breasts from memory: stage 2 on 6×256×256×32",
        f"({flops['stage 2']:.0f} GFLOP in convolutions), stage 1 on 6×64×64×4 ({flops['stage 1']:.2f}).",
        "Plain is the same network in PyTorch's default memory order with slices last, same weights; ours keeps",
        f"slices first and channels last. The peak is the product of two {_SIDE}×{_SIDE} matrices in the same",
        f"precision and turn: {_told(runs)}. Memory is that of the whole process.",
        "",
        *measure.table(["threads", "step", "ms", "× ours", "GFLOP/s", "of peak", "peak MB"], rows),
        measure.told(runs),
        "",
        f"Plain and ours agree: logits (up to {same['size']:.2f}) within {same['plain']:.1e}, gradients",
        f"within {same['gradients']:.1e} (relative norm; air is constant, so that max pools pick among ties,",
        "each in its own order). bf16 is offered for training on a CPU only where",
        "`pipeline.training.precision` has trained a few steps beside fp32 without a disagreement. Here:",
        "",
        *notes,
        "",
    ]


def report_inference(breasts: Sequence[Path], repeats: int) -> list[str]:
    """Measure the inference of one breast; returns Markdown."""
    (counted, same), works = _facts(tuple(breasts)), dict(_peaks())
    flops = counted["inference"]
    for kind in ("ours", "plain", "ours, bf16"):
        works[f"one breast, {kind}"] = measure.Work(partial(inference, breasts, kind), 5)
    runs = measure.take_turns(works, repeats)
    rows = [row for n in measure.THREADS for row in _rows(runs, "one breast", n, flops)]
    return [
        "## Inference of one breast",
        "",
        f"6×256×256×32 from memory, {flops:.1f} GFLOP in convolutions; peaks, measured as for a step:",
        f"{_told(runs)}.",
        "",
        *measure.table(["threads", "network", "ms", "× ours", "GFLOP/s", "of peak", "peak MB"], rows),
        measure.told(runs),
        "",
        f"Largest difference of a logit to ours in fp32 (logits up to {same['size']:.2f}): plain",
        f"{same['plain']:.1e}, bf16 {same['bf16']:.1e}.",
        "",
    ]


@cache
def _facts(breasts: tuple[Path, ...]) -> tuple[dict[str, float], dict[str, float]]:
    return measure.in_child(counts, breasts), measure.in_child(agreement, breasts)


def _peaks() -> dict[str, measure.Work]:
    return {"peak, fp32": measure.Work(partial(product, torch.float32), 3),
            "peak, bf16": measure.Work(partial(product, torch.bfloat16), 3)}


def _speed(runs: Any, kind: str, threads: int) -> float:
    return 2 * _SIDE**3 / 1e9 / runs[f"peak, {kind}", threads].least


def _told(runs: Any) -> str:
    return "; ".join(f"{n} thread{'s' if n > 1 else ''}: {_speed(runs, 'fp32', n):,.0f} GFLOP/s fp32, "
                     f"{_speed(runs, 'bf16', n):,.0f} bf16" for n in measure.THREADS)


def _rows(runs: Any, what: str, threads: int, flops: float) -> list[list[str]]:
    base = runs[f"{what}, ours", threads]
    rows = []
    for name in dict.fromkeys(name for name, _ in runs if name.startswith(what)):
        r = runs[name, threads]
        speed = flops / r.seconds
        kind = "bf16" if name.endswith("bf16") else "fp32"
        rows.append([str(threads), name, r.time(1e3), r.times(base, 2), f"{speed:,.0f}",
                     f"{speed / _speed(runs, kind, threads):.0%}", f"{r.peak:,.0f}"])
    return rows
