"""A whole exam through the doubly deep network: ours, and the same one written plainly.

Every figure comes from a process of its own with one thread. Times are the processor's: a step takes minutes, in which
much else may run.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import measure
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.networks.doubly_deep import DoublyDeepNet, FourAnswersLoss
from pipeline.training.precision import has_bf16

SIZES = (40, 80, 160)  # slices
SIDE = 448  # pixels of a slice (§2.1: sizes vary)
RATE = 1e-5
LABELS = torch.tensor([[0, 1, 0, 0]])


class PlainBlock(nn.Module):
    """The residual block as one writes it first."""

    def __init__(self, conv: type[nn.Module], inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(inputs, outputs, 3, stride, 1), conv(outputs, outputs, 3, 1, 1)
        self.shortcut = conv(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


class PlainDoublyDeep(nn.Module):
    """The paper's network on contiguous slices, all of an exam as one batch; its weights are named as ours."""

    def __init__(self) -> None:
        super().__init__()
        widths = [64, 64, 128, 256, 512]
        stages = [nn.Sequential(PlainBlock(nn.Conv2d, a, b, 1 if a == b else 2), PlainBlock(nn.Conv2d, b, b))
                  for a, b in itertools.pairwise(widths)]
        self.trunk = nn.Sequential(nn.Sequential(nn.Conv2d(1, 64, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), *stages)
        self.collapse, self.block = nn.Conv2d(512, 1, 1), PlainBlock(nn.Conv3d, 1, 128)
        self.heads = nn.Linear(128, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        slices = image[0, 0].permute(2, 1, 0)[:, None].contiguous()
        maps = self.collapse(self.trunk(slices)).transpose(0, 1)[None]
        return self.heads(F.adaptive_max_pool3d(self.block(maps), 1).flatten(1))


@dataclass(frozen=True)
class Way:
    """One of the networks, in one precision; `recompute` stages are computed again on the way back."""

    name: str
    bf16: bool = False
    recompute: int | None = None  # None: the default

    def build(self) -> nn.Module:
        """The network, with the weights that all ways share."""
        torch.manual_seed(0)
        settings = {} if self.recompute is None else {"recompute": self.recompute}
        ours = DoublyDeepNet(**settings)
        nn.init.normal_(ours.heads.weight, std=0.02)  # they start at zero: nothing would go back
        if self.name != "plain":
            return ours
        plain = PlainDoublyDeep()
        plain.load_state_dict(ours.state_dict())
        return plain


def exam(slices: int) -> torch.Tensor:
    """A synthetic exam `(1, 1, 448, 448, slices)`, slices first in memory: two bright ellipsoids, texture, a lesion."""
    random = torch.Generator().manual_seed(0)
    z, y, x = (torch.linspace(-1, 1, n) for n in (slices, SIDE, SIDE))
    image = torch.zeros(slices, SIDE, SIDE)
    for centre in (-0.5, 0.5):
        inside = ((z[:, None, None] / 0.9) ** 2 + ((y[None, :, None] + 0.1) / 0.7) ** 2
                  + ((x[None, None] - centre) / 0.42) ** 2) < 1
        image += inside * (0.8 + 0.4 * torch.rand(image.shape, generator=random))
    middle = slices // 3
    image[middle : middle + max(slices // 20, 1), 150:180, 300:330] += 1.5
    return image[None, None].permute(0, 1, 4, 3, 2)


@dataclass
class Measured:
    """Processor seconds, peak of the process and of its imports in MB, and the share of slices that went back."""

    seconds: float
    peak: float
    imports: float
    share: float
    finite: bool


def once(way: Way, slices: int, train: bool) -> Measured:
    """One step with Adam, or one inference, after a warm-up on two slices."""
    imports = _peak()
    network, image, loss = way.build(), exam(slices), FourAnswersLoss()
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    back: list[int] = []

    def look(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        if train:
            output.register_hook(lambda slope: back.append(0 if slope is None else int(slope.flatten(1).any(1).sum())))

    network.collapse.register_forward_hook(look)

    def run(image: torch.Tensor) -> bool:
        with torch.set_grad_enabled(train), torch.autocast("cpu", torch.bfloat16, enabled=way.bf16):
            logits = network(image).float()
        if train:
            optimizer.zero_grad()
            loss(logits, LABELS).backward()
            optimizer.step()
        return all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in network.parameters())

    run(image[..., :2])
    back.clear()
    start = time.process_time()
    finite = run(image)
    return Measured(time.process_time() - start, _peak(), imports, sum(back) / slices, finite)


def agreement(slices: int) -> dict[str, float]:
    """Ours against plain, logits and gradients (relative norm), and bf16 against fp32, on a short exam."""
    image, loss, found = exam(slices), FourAnswersLoss(), {}
    for way in (Way("plain"), Way("ours"), Way("ours", True)):
        network = way.build()
        with torch.autocast("cpu", torch.bfloat16, enabled=way.bf16):
            logits = network(image).float()
        loss(logits, LABELS).backward()
        found[way] = logits.detach(), torch.cat([p.grad.flatten() for p in network.parameters()])
    (plain, first), (ours, second), (fast, third) = found.values()
    return {"size": float(plain.abs().max()), "logits": float((ours - plain).abs().max()),
            "gradients": float((second - first).norm() / first.norm()), "bf16 logits": float((fast - ours).abs().max()),
            "bf16 gradients": float((third - second).norm() / second.norm()),
            "cosine": float(torch.cosine_similarity(second, third, 0))}


def flops() -> float:
    """GFLOP forward of an exam of 160 slices."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network = DoublyDeepNet()
        maps = network.maps(exam(1))
        trunk = counter.get_total_flops()
        network.volume(maps.expand(1, 1, 160, -1, -1))
    return (160 * trunk + counter.get_total_flops() - trunk) / 1e9


def turns(sizes: Sequence[int], repeats: int) -> Iterator[tuple[tuple[str, int, bool], Measured]]:
    """Every way at every size, by turns."""
    ways = [Way("plain"), Way("ours"), *([Way("ours", True)] if has_bf16() else [])]
    for slices, _, train in itertools.product(sizes, range(repeats), (False, True)):
        for way in ways:
            name = f"{way.name}, {'bf16' if way.bf16 else 'fp32'}"
            found = measure.in_child(once, way, slices, train, threads=1)
            print(f"  {slices} {'step' if train else 'inference'} {name}: {found}", flush=True)
            yield (name, slices, train), found


def report(repeats: int, sizes: Sequence[int] = SIZES) -> list[str]:
    """Measure; returns Markdown."""
    same, work = measure.in_child(agreement, 4), measure.in_child(flops)
    results: dict[tuple[str, int, bool], list[Measured]] = {}
    for key, found in turns(sizes, repeats):
        results.setdefault(key, []).append(found)
    rows = []
    for (name, slices, train), runs in sorted(results.items(), key=lambda item: (item[0][2], item[0][1])):
        base = statistics.median(r.seconds for r in results["plain, fp32", slices, train])
        seconds = statistics.median(r.seconds for r in runs)
        rows.append(["step" if train else "inference", str(slices), name, f"{seconds:.1f}",
                     f"{seconds / base:.2f}", f"{max(r.peak for r in runs):,.0f}",
                     f"{max(r.peak - r.imports for r in runs):,.0f}", f"{runs[0].share:.0%}" if train else "",
                     ("yes" if all(r.finite for r in runs) else "NO") if train else ""])
    return [
        "## A whole exam through the doubly deep network",
        "",
        f"One synthetic exam with slices of {SIDE}×{SIDE}, Adam, one thread, {repeats} repeat"
        f"{'s' if repeats > 1 else ''}, by turns; {work:,.0f} GFLOP",
        "forward for 160 slices. Plain is the same network with the same weights in PyTorch's default memory order,",
        "all slices as one batch. Seconds are of the processor. MB are the process's peak, with and without what",
        f"imports take ({runs[0].imports:.0f}). \"Went back\" is the share of slices whose gradient is not all zero:",
        "it depends on the exam and the weights, and says nothing about another.",
        "",
        *_processor(),
        "",
        *measure.table(["", "slices", "network", "seconds", "× plain", "peak MB", "without imports", "went back",
                        "gradients finite"], rows),
        f"On four slices ours and plain differ by {same['logits']:.1e} in logits of up to {same['size']:.2f}, and by",
        f"{same['gradients']:.1e} in gradients (relative norm); bf16 and fp32 by {same['bf16 logits']:.1e} and "
        f"{same['bf16 gradients']:.2f}",
        f"(cosine {same['cosine']:.2f}). " + ("" if has_bf16() else "This processor emulates bf16: it was not timed."),
        "",
    ]


def _processor() -> list[str]:
    info = dict(line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    known = {"AVX2": "avx2", "AVX-512": "avx512f", "AVX-512 bf16": "avx512_bf16", "AMX bf16": "amx_bf16"}
    sets = [name for name, flag in known.items() if flag in info.get("flags", "").split()]
    return [f"Processor: {info.get('model name', 'unknown')} ({', '.join(sets)}); torch {torch.__version__}."]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / measure.MEGABYTE
