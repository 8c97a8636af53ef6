"""The patch classifier of the four-view comparator's heat maps (paper §3.5; Wu et al. 2019): a DenseNet121.

Names are torchvision's, so that a user's checkpoint loads with `pipeline.networks.checkpoint.load_weights`. MONAI's
DenseNet121 has other names and pads all sides alike; this one pads as TensorFlow's 'SAME' does, which at even sizes
adds more at the end, and where two layers are strided moves the patch by pixels against the weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = ("malignant", "benign", "outside", "negative")
PATCH = 256  # pixels a side
DEPTHS = (6, 12, 24, 16)
STEM, GROWTH, BOTTLENECK = 64, 32, 128


class DenseLayer(nn.Module):
    """norm – ReLU – conv1 – norm – ReLU – conv3: 32 new channels, appended to what came in."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], dim=1)


class Transition(nn.Module):
    """norm – ReLU – conv1 – mean of 2×2: half the channels, half the size."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class PatchDenseNet(nn.Module):
    """Classifies patches `(B, C, 256, 256)`, one channel or it repeated to three, standardised with their image.

    Logits `(B, 4)` of `CLASSES`; 6,957,956 parameters. To run it on many patches, see `FoldedDenseNet`.
    """

    def __init__(self) -> None:
        super().__init__()
        features = nn.Sequential()
        features.add_module("conv0", nn.Conv2d(3, STEM, 7, 2, bias=False))
        features.add_module("norm0", nn.BatchNorm2d(STEM))
        width = STEM
        for number, depth in enumerate(DEPTHS, start=1):
            block = nn.Sequential()
            for layer in range(1, depth + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(width))
                width += GROWTH
            features.add_module(f"denseblock{number}", block)
            if number < len(DEPTHS):
                features.add_module(f"transition{number}", Transition(width))
                width //= 2
        features.add_module("norm5", nn.BatchNorm2d(width))
        self.features = features
        self.classifier = nn.Linear(width, len(CLASSES))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        stem, norm, *blocks = self.features
        x = stem(pad_same(patches.expand(-1, 3, -1, -1), 7, 2))
        x = F.max_pool2d(pad_same(F.relu(norm(x)), 3, 2), 3, 2)
        for block in blocks:
            x = block(x)
        return self.classifier(F.relu(x).mean(dim=(2, 3)))


def pad_same(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Zeros around `(B, C, H, W)` as TensorFlow's 'SAME' adds them: the odd one at the end."""
    height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


class FoldedDenseNet:
    """A trained `PatchDenseNet` rewritten for speed: the same function up to rounding.

    - The first layer takes one channel, the sum of the three that repeat it, and reads 2×2 pixels as four channels.
    - Batch norms after a convolution become part of it. Those before one become `relu(a·x + b) = a·(clip(x) − t)` with
      `t = −b / a`: one comparison a value, `a` and `t` become part of the next convolution. The rounded `t` and
      weights are used in both places, so that what is cut off is zero in bfloat16, too.
    - A transition takes the mean before its convolution: a quarter of the work.
    - A block's layers write into one array, so that nothing is copied again at each layer.

    Args:
        network: left as it is; later changes to it have no effect here.
        dtype: of weights and features.
    """

    def __init__(self, network: PatchDenseNet, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        features: Any = network.features
        scale, shift = _affine(features.norm0)
        stem = features.conv0.weight.detach().double().sum(dim=1, keepdim=True)
        stem = F.pixel_unshuffle(F.pad(stem * scale[:, None, None, None], (0, 1, 0, 1)), 2)
        self.stem = _last(stem.to(dtype)), shift.to(dtype)
        self.blocks: list[list[tuple[_Rectified, torch.Tensor]]] = []
        self.after: list[_Rectified] = []
        for number in range(1, len(DEPTHS) + 1):
            layers = getattr(features, f"denseblock{number}")
            self.blocks.append([(_Rectified(layer.norm1, layer.conv1.weight, layer.norm2, dtype),
                                 _last(layer.conv2.weight.detach().to(dtype))) for layer in layers])
            if number < len(DEPTHS):
                transition = getattr(features, f"transition{number}")
                self.after.append(_Rectified(transition.norm, transition.conv.weight, None, dtype))
        self.after.append(_Rectified(features.norm5, network.classifier.weight, None, dtype,
                                     network.classifier.bias))

    @torch.inference_mode()
    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Probabilities `(B, 4)` of `CLASSES`, float32, of one-channel patches `(B, 1, 256, 256)`."""
        x = _last(F.pixel_unshuffle(F.pad(patches.to(self.dtype), (2, 4, 2, 4)), 2))
        # Beyond the end lie zeros, and the rectifier comes after: leaving them out is the same.
        x = _relu(F.max_pool2d(F.conv2d(x, *self.stem), 3, 2, ceil_mode=True)).permute(0, 2, 3, 1)
        for number, (layers, after) in enumerate(zip(self.blocks, self.after, strict=True), start=1):
            x = after.clip(_block(x, layers))
            if number < len(DEPTHS):
                x = after.linear(F.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1))
        return after.linear(x.mean(dim=(1, 2))).float().softmax(dim=1)


def _block(x: torch.Tensor, layers: list[tuple[_Rectified, torch.Tensor]]) -> torch.Tensor:
    """A dense block on `(B, H, W, C)`."""
    width = x.shape[3]
    everything = x.new_empty((*x.shape[:3], width + GROWTH * len(layers)))
    everything[..., :width] = x
    for first, second in layers:
        y = _relu(first.linear(first.clip(everything[..., :width])))
        new = F.conv2d(y.permute(0, 3, 1, 2), second, padding=1)
        everything[..., width:width + GROWTH] = new.permute(0, 2, 3, 1)
        width += GROWTH
    return everything


class _Rectified:
    """norm – ReLU – linear over the channels – norm, as a clip and a linear layer on `(…, C)`."""

    def __init__(self, norm: Any, weight: torch.Tensor, after: Any, dtype: torch.dtype,
                 bias: torch.Tensor | None = None) -> None:
        scale, shift = _affine(norm)
        rows = weight.detach().double().flatten(1)
        constant = rows[:, scale == 0] @ shift[scale == 0].relu()
        if bias is not None:
            constant = constant + bias.detach().double()
        if after is not None:
            outer, offset = _affine(after)
            rows, constant = rows * outer[:, None], constant * outer + offset
        edge = torch.where(scale == 0, 0.0, -shift / scale).to(dtype)
        self.weight = (rows * scale).to(dtype)
        self.bias = (constant - self.weight.double() @ edge.double()).to(dtype)
        endless = torch.full_like(edge, torch.inf)
        self.low = torch.where(scale >= 0, edge, -endless)
        self.high = torch.where(scale <= 0, edge, endless)
        self.rising = bool((scale > 0).all())

    def clip(self, x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(x, self.low) if self.rising else torch.clamp(x, self.low, self.high)

    def linear(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight, self.bias)


def _affine(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch norm in evaluation mode as scale and shift, float64."""
    mean, variance, weight, bias = (t.detach().double()
                                    for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
                                    if t is not None)
    scale = weight / torch.sqrt(variance + norm.eps)
    return scale, bias - mean * scale


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _relu(x: torch.Tensor) -> torch.Tensor:
    """In place. A bfloat16 is negative exactly where its bits are as an integer, and integers compare faster."""
    if x.dtype == torch.bfloat16:
        x.view(torch.int16).clamp_(min=0)
        return x
    return x.relu_()
