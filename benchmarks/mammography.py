"""Mammograms: the holistic network, its saliency, the four-view comparator and its heat maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import measure
import torch
from torch import nn

from pipeline.explain.saliency import centre_of_attention, saliency
from pipeline.mammography.comparator.patch_maps import STEP, starts
from pipeline.networks.four_view import FourViewNetwork
from pipeline.networks.mammogram_resnet import mammogram_resnet
from pipeline.networks.patch_densenet import PATCH, FoldedDenseNet, PatchDenseNet
from pipeline.training import precision

SIDE = 976  # §4.2
WINDOWS = ((2677, 1942), (2974, 1748))  # of the four-view network, CC and MLO
VIEWS = ((2100, 800), (2700, 1000))  # cropped to the breast, as a real exam's CC and MLO are
DAMPING = 0.2  # scale of the residual branches' last norm
PATCHES, FEW = 16, 4  # measured; a batch of the plain way
BF16, PLAIN = "ours, bf16", "plain"


def holistic(kind: str) -> nn.Module:
    """The ResNet101 that all kinds share, in evaluation mode; `plain` in PyTorch's default memory order."""
    torch.manual_seed(0)
    network = mammogram_resnet()
    for name, module in network.named_modules():
        if name.endswith("bn3"):  # else each of 33 random blocks amplifies every rounding, which no trained one does
            nn.init.constant_(module.weight, DAMPING)
    settled(network, torch.randn(2, 1, PATCH, PATCH))
    if kind.startswith(PLAIN):
        return network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return precision._autocast(network, "cpu") if kind.endswith("bf16") else network


def settled(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Batch norms with the statistics of some images: random weights alone would let activations grow by layers."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(images)
    return network.eval()


def forward(kind: str) -> Callable[[], torch.Tensor]:
    """Warm up; returns the inference of one image."""
    network, image = holistic(kind), _image()
    return _warm(lambda: _quiet(network, image))


def attention(kind: str) -> Callable[[], Any]:
    """Warm up; returns the saliency of one image; plain: `backward`, which makes all parameters' gradients, too."""
    network, image = holistic(kind), _image()

    def backward() -> torch.Tensor:
        network.zero_grad()
        pixels = image.clone().requires_grad_(True)
        logits = network(pixels)
        (logits[:, 1] - logits[:, 0]).sum().backward()
        assert pixels.grad is not None
        return pixels.grad.abs()[:, 0]

    return _warm(backward if "backward" in kind else lambda: saliency(network, image)[1])


def exam(kind: str) -> Callable[[], torch.Tensor]:
    """Warm up; returns the four-view network on one exam, image only."""
    torch.manual_seed(0)
    network: nn.Module = FourViewNetwork().eval()
    if kind == PLAIN:
        network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    elif kind == BF16:
        network = precision._autocast(network, "cpu")
    cc, mlo = (torch.randn(1, 1, *size) for size in WINDOWS)
    return _warm(lambda: _quiet(network, [cc, cc, mlo, mlo]))


def patches(kind: str) -> Callable[[], torch.Tensor]:
    """Warm up; returns the classification of some patches that hold breast."""
    torch.manual_seed(0)
    images = torch.randn(PATCHES, 1, PATCH, PATCH)
    network: Any = settled(PatchDenseNet(), images[:8])
    if kind == PLAIN:
        return _warm(lambda: torch.cat([_quiet(network, some.repeat(1, 3, 1, 1)).softmax(1)
                                        for some in images.split(FEW)]))
    folded = FoldedDenseNet(network, torch.bfloat16 if kind == BF16 else torch.float32)
    return _warm(lambda: torch.cat([folded(some) for some in images.split(8)]))


def layout() -> tuple[int, int]:
    """Patches of an exam, and those of them that hold breast: half an ellipse along the chest wall."""
    every = full = 0
    for height, width in VIEWS:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        breast = ((y - height / 2) / (height / 2)) ** 2 + (x / width) ** 2 < 1
        held = [bool(breast[r:r + PATCH, c:c + PATCH].any()) for r in starts(height) for c in starts(width)]
        every, full = every + 2 * len(held), full + 2 * sum(held)
    return every, full


def agreement() -> dict[str, float]:
    """How far ours is from the plain way."""
    maps = {kind: attention(kind)() for kind in ("plain, backward", "ours", BF16)}
    centres = {kind: centre_of_attention(found)[0] for kind, found in maps.items()}
    chances = {kind: patches(kind)() for kind in (PLAIN, "ours", BF16)}
    result = {}
    for kind in ("ours", BF16):
        both = torch.stack([maps["plain, backward"].flatten(), maps[kind].flatten()])
        result |= {f"{kind} correlation": float(torch.corrcoef(both)[0, 1]),
                   f"{kind} shift": float((centres[kind] - centres["plain, backward"]).norm()),
                   f"{kind} patches": float((chances[kind] - chances[PLAIN]).abs().max())}
    return result


def report(repeats: int) -> list[str]:
    """Measure all of it; returns Markdown."""
    works = {f"{what}, {kind}": measure.Work(partial(make, kind), calls)
             for what, make, kinds, calls in (
                 ("ResNet101", forward, (PLAIN, "ours", BF16), 3),
                 ("saliency", attention, ("plain, backward", "ours, backward", "ours", BF16), 2),
                 ("four views", exam, (PLAIN, "ours", BF16), 2),
                 ("patches", patches, (PLAIN, "ours", BF16), 2))
             for kind in kinds}
    runs, same = measure.take_turns(works, repeats), measure.in_child(agreement)
    every, full = measure.in_child(layout)
    return [
        "## Mammograms",
        "",
        f"One image of {SIDE}×{SIDE} through ResNet101 and its saliency; one exam ({_sizes(WINDOWS)}) through the",
        f"image-only four-view network; {PATCHES} patches of {PATCH}×{PATCH}. Noise, random weights; ResNet101's",
        f"residual branches are damped to {DAMPING}. Plain is the same network in PyTorch's default memory order;",
        "`backward` makes the gradients of all weights, too. \"× forward\" is the cost against the same kind's forward",
        "pass.",
        "",
        *measure.table(["threads", "work", "ms", "× ours", "images/s", "× forward", "peak MB"], _rows(runs, works)),
        *_exams(runs, every, full),
        "",
        measure.told(runs),
        "",
        "Against the plain way:",
        "",
        *(f"- {kind}: saliency maps correlate by {same[f'{kind} correlation']:.4f}, the centre of attention moves by "
          f"{same[f'{kind} shift']:.1f} pixels; patches' probabilities differ by up to "
          f"{same[f'{kind} patches']:.1e}." for kind in ("ours", BF16)),
        "",
    ]


def _rows(runs: Any, works: dict[str, measure.Work]) -> list[list[str]]:
    rows = []
    for n in measure.THREADS:
        for name in works:
            what, _, kind = name.partition(", ")
            run, base = runs[name, n], runs[f"{what}, ours", n]
            pace = cost = ""
            if what == "ResNet101":
                pace = f"{1 / run.seconds:.2f}"
            elif what == "saliency":
                once = runs[f"ResNet101, {kind.removesuffix(', backward')}", n]
                cost = f"{run.seconds / once.seconds:.1f}"
            elif what == "patches":
                pace = f"{PATCHES / run.seconds:.1f}"
            rows.append([str(n), name, run.time(1e3), run.times(base), pace, cost, f"{run.peak:,.0f}"])
    return rows


def _exams(runs: Any, every: int, full: int) -> list[str]:
    """Seconds an exam, from the measured patches."""
    lines = [f"Heat maps of a whole exam, extrapolated from {PATCHES} patches: two views each of {_sizes(VIEWS)},",
             f"{every:,} patches at most {STEP} pixels apart, {full:,} of them with breast; the plain way takes every",
             f"patch, in batches of {FEW}:"]
    for n in measure.THREADS:
        one = {kind: runs[f"patches, {kind}", n].seconds / PATCHES for kind in (PLAIN, "ours", BF16)}
        plain, ours, fast = one[PLAIN] * every, one["ours"] * (full + 1), one[BF16] * (full + 1)
        lines.append(f"with {n} thread{'s' if n > 1 else ''}, plain {plain:.0f} s, ours {ours:.0f} s "
                     f"({plain / ours:.1f} times as fast), bf16 {fast:.0f} s ({plain / fast:.1f} times).")
    return lines


def _sizes(sizes: tuple[tuple[int, int], tuple[int, int]]) -> str:
    (high, wide), (higher, wider) = sizes
    return f"CC {high}×{wide}, MLO {higher}×{wider}"


def _image() -> torch.Tensor:
    return torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def _quiet(network: nn.Module, given: Any) -> torch.Tensor:
    with torch.inference_mode():
        return network(given)


def _warm(work: Callable[[], Any]) -> Callable[[], Any]:
    work()
    return work
