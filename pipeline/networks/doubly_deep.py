"""The doubly deep network: a 2D ResNet on every slice of an exam, then a 3D one on the stack of their maps (Figure 1).

Written so that a step on a whole exam fits a small memory with one ordinary `loss.backward()`: slices go through the
2D part a few at a time, its first stages are computed again on the way back instead of kept, and slices that cannot
have changed the loss are left out on the way back. None of it changes a number but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from pipeline.errors import InputError
from pipeline.networks import memory
from pipeline.networks.checkpoint import strict
from pipeline.networks.shortcut import StridedShortcut

ANSWERS = ("left benign", "left malignant", "right benign", "right malignant")  # in the order of the logits' pairs
UNKNOWN = -1  # a label that is left out


class ResidualBlock(nn.Module):
    """conv3 – ReLU – conv3, plus the shortcut, then ReLU; no norm (footnote 2).

    Args:
        conv: `nn.Conv2d` or `nn.Conv3d`.
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution; more than 1 in 2D alone. Where it, or the number of channels, changes the
            shape, the shortcut is a convolution of one voxel.
        bias: whether convolutions have one.
    """

    def __init__(self, conv: type[nn.Conv2d] | type[nn.Conv3d], inputs: int, outputs: int, stride: int = 1,
                 bias: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride, 1, bias=bias)
        self.conv2 = conv(outputs, outputs, 3, 1, 1, bias=bias)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = StridedShortcut(inputs, outputs, stride, bias)
        elif inputs != outputs:
            self.shortcut = conv(inputs, outputs, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(self.conv1(x).relu_())
        return (y + self.shortcut(x)).relu_()


class DoublyDeepNet(nn.Module):
    """Four answers for one bilateral exam of any size: `(1, 1, X, Y, Z)` to logits `(1, 8)`; 11,611,785 parameters.

    A ResNet-18 without norm layers and with a 5×5 stem sees each slice alone and ends, through a 1×1 convolution, in
    one map of X/32 × Y/32 cells; cell i is centred on voxel 32 i. The maps are stacked; one 3D residual block, the
    global maximum of its channels and four heads follow (§2.2, footnotes 2 and 3).

    The exam is a public tensor, slices last; as a view of memory in the order `(1, 1, Z, Y, X)`, as prepared arrays
    lie, nothing is copied. Under autocast on a CPU the 3D part stays in the precision of its weights: it is 1 % of the
    work, and oneDNN's bfloat16 3D convolutions are not to be trusted.

    Args:
        widths: channels of the 2D stages; every one after the first halves the plane.
        blocks: residual blocks of each stage.
        features: channels of the 3D block.
        bias: whether convolutions have biases; without, 11,606,601 parameters: the 1×1 convolution keeps its one.
        micro_batch: slices that go through the 2D part together. Fewer take less memory and leave out more on the way
            back.
        recompute: stages of the 2D part that are computed again on the way back instead of kept: 0 none, 1 the stem
            with its pool, 2 the first residual stage too, and so on. Each takes less memory than the one before, and
            more time.

    Raises:
        InputError: settings that do not fit each other.
    """

    leaves_out = True  # of the gradients, where no slice was picked: see `_WithoutZeros`

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), blocks: Sequence[int] = (2, 2, 2, 2),
                 features: int = 128, bias: bool = True, micro_batch: int = 1, recompute: int = 3) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks, features) < 1:
            raise InputError(f"widths {list(widths)}, blocks {list(blocks)} and features {features}: a width and a "
                             "number of blocks a stage are needed, all at least 1")
        if not 0 <= recompute <= len(widths) + 1:
            raise InputError(f"recompute is {recompute}; use 0 to {len(widths) + 1}: the stem and {len(widths)} stages")
        if micro_batch < 1:
            raise InputError(f"micro_batch is {micro_batch}; at least one slice goes through the network at a time")
        self.micro_batch, self.recompute = int(micro_batch), int(recompute)
        self.widths, self.blocks = tuple(map(int, widths)), tuple(map(int, blocks))
        inputs = [widths[0], *widths]
        self.trunk = nn.ModuleList([nn.Sequential(  # shapes for a slice of 448×448
            nn.Conv2d(1, widths[0], 5, 2, 2, bias=bias), nn.ReLU(inplace=True),  # 64×224×224
            nn.MaxPool2d(3, 2, 1))])  # 64×112×112
        self.trunk.extend(nn.Sequential(*(
            ResidualBlock(nn.Conv2d, width if block else inputs[stage], width, 1 if block or not stage else 2, bias)
            for block in range(blocks[stage]))) for stage, width in enumerate(widths))  # …, 512×14×14
        self.collapse = nn.Conv2d(widths[-1], 1, 1)
        self.block = ResidualBlock(nn.Conv3d, 1, features, bias=bias)
        self.heads = nn.Linear(features, 2 * len(ANSWERS))  # four of two logits each
        cell = 2 ** (len(widths) + 1)
        self.strides = (cell, cell, 1)  # voxels between the maps' cells
        self.reset()
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        strict(self)

    def reset(self) -> None:
        """Initialise (ours; the paper is silent).

        Without norm layers, initialisation decides what is left of an image behind 20 layers: by PyTorch's default
        nothing but biases (what reaches the heads varies between exams by a thousandth of itself), and with Kaiming's
        everywhere every block adds to it. So the residual branches of the 2D part end in zeros: each block begins by
        passing on what it is given (Zhang et al. 2019, Fixup), at a scale that Kaiming's rule keeps in all other
        convolutions. Biases and heads begin at zero: the first loss is chance, 4 ln 2, at any scale of the exam.
        """
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for layer in self.trunk.modules():
            if isinstance(layer, ResidualBlock):
                nn.init.zeros_(layer.conv2.weight)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)

    @torch.jit.unused
    def _demand(self, image: torch.Tensor) -> None:
        if image.ndim != 5 or image.shape[:2] != (1, 1) or not image.shape[4]:
            raise InputError(f"an image of {tuple(image.shape)}: exams go one at a time, with one channel, as "
                             "(1, 1, X, Y, Z); set the batch size to 1")
        if min(image.shape[2:4]) < self.strides[0]:
            raise InputError(f"slices of {image.shape[2]}×{image.shape[3]} pixels are too small for this network; at "
                             f"least {self.strides[0]}×{self.strides[0]} are needed")
        if torch.is_grad_enabled():
            half = 0.5 if torch.is_autocast_enabled(image.device.type) else 1.0
            memory.demand(half * self.step_bytes(image.shape[2:]), image.device,
                          "a training step on an exam of {} × {} × {} voxels".format(*image.shape[2:]),
                          f"raise recompute to {len(self.trunk)}, set precision to bf16 where it is proved, or prepare "
                          "fewer, larger voxels")

    @torch.jit.unused
    def step_bytes(self, shape: Sequence[int]) -> float:
        """What a training step keeps of an exam `(X, Y, Z)` in float32, and the exam itself: an estimate.

        Without stages that are computed again, of every slice the stem's output, its pool's and that pool's indices of
        8 bytes; and two maps a residual block. With `recompute`, the output of the last such stage, and all later ones.
        """
        x, y, slices = shape
        kept = 0.0
        for stage in range(len(self.widths) + 1):
            channels = self.widths[max(stage - 1, 0)]
            cells = math.ceil(x / 2 ** (max(stage, 1) + 1)) * math.ceil(y / 2 ** (max(stage, 1) + 1))
            if stage >= self.recompute:
                kept += channels * cells * (8 * self.blocks[stage - 1] if stage else 4 * 4 + 4 + 8)
            elif stage == self.recompute - 1:
                kept += channels * cells * 4
        return slices * (kept + 4.0 * x * y)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits `(1, 8)` of one exam `(1, 1, X, Y, Z)`: for each of `ANSWERS`, no and yes.

        Raises:
            InputError: several exams, several channels, slices of less than a cell, or a training step that would
                not fit the memory that is free.
        """
        return self.answers(self.maps(image))

    def maps(self, image: torch.Tensor) -> torch.Tensor:
        """The slices' maps, stacked: `(1, 1, X, Y, Z)` to `(1, 1, Z, Y/32, X/32)`."""
        if not torch.jit.is_scripting():
            self._demand(image)
        slices = image[0].permute(3, 0, 2, 1)  # (Z, 1, Y, X)
        return torch.cat([self._some(part) for part in slices.split(self.micro_batch)]).transpose(0, 1)[None]

    def answers(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits `(1, 8)` from what `maps` gives."""
        with torch.autocast("cpu", enabled=False):
            return self.heads(self.volume(maps).flatten(2).max(dim=2)[0])

    def volume(self, maps: torch.Tensor) -> torch.Tensor:
        """The 3D block on what `maps` gives: `(1, 128, Z, Y/32, X/32)`, not negative."""
        with torch.autocast("cpu", enabled=False):
            return self.block(maps.to(self.heads.weight.dtype))

    def _some(self, slices: torch.Tensor) -> torch.Tensor:
        """Maps `(n, 1, Y/32, X/32)` of a few slices `(n, 1, Y, X)`."""
        if torch.jit.is_scripting():
            return self._stages(slices, 0, len(self.trunk) + 1)
        return self._lean(slices)

    def _stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """The 2D part from one stage to another, the last of which is the 1×1 convolution."""
        x = x.contiguous(memory_format=torch.channels_last)
        for i, stage in enumerate(self.trunk):
            if start <= i and i < stop:
                x = stage(x)
        return self.collapse(x) if stop > len(self.trunk) else x

    @torch.jit.unused
    def _lean(self, slices: torch.Tensor) -> torch.Tensor:
        """As `_stages` from the first to the last, with what training needs of memory and time."""
        end = len(self.trunk) + 1
        if not torch.is_grad_enabled():
            return self._stages(slices, 0, end)
        x = slices
        if self.recompute:
            x = checkpoint(self._stages, slices, 0, self.recompute, use_reentrant=False, preserve_rng_state=False)
        return _WithoutZeros.apply(self._stages(x, self.recompute, end))


class _WithoutZeros(torch.autograd.Function):
    """Passes on what it is given, and a gradient only where it is not all zero.

    The global maximum picks one voxel a channel, and the 3D block looks two slices to either side: slices beyond have
    a gradient of zeros, with which autograd would walk through the 2D part all the same, to add zeros to the weights'.
    None ends the walk. A gradient that is not finite goes on.
    """

    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor) -> torch.Tensor:
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor | None:
        return slope if slope.any() else None


def probabilities(logits: torch.Tensor) -> torch.Tensor:
    """The four answers' probabilities: `(B, 8)` to `(B, 4)`, in the order of `ANSWERS`."""
    return logits.float().unflatten(1, (len(ANSWERS), 2)).softmax(dim=2)[..., 1]


class FourAnswersLoss(nn.Module):
    """Sum of the four answers' cross-entropies, each the mean over the exams where it is known (§2.2).

    Logits `(B, 8)` and labels `(B, 4)` of 0, 1 or -1; -1 is unknown and left out. An exam of which nothing is known
    has a loss, and a gradient, of 0.
    """

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        pairs = logits.unflatten(1, (len(ANSWERS), 2)).transpose(1, 2)  # (B, 2, 4)
        losses = F.cross_entropy(pairs, labels.long(), ignore_index=UNKNOWN, reduction="none")
        return (losses.sum(dim=0) / (labels != UNKNOWN).sum(dim=0).clamp(min=1)).sum()
