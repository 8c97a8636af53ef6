"""Shortcuts of residual blocks that halve the plane: one pixel of four, through a 1×1 convolution."""

from __future__ import annotations

import torch
from torch import nn

NARROW = 16  # channels of its input below which oneDNN's own stride is not to be trusted


class StridedShortcut(nn.Conv2d):
    """A 1×1 convolution that takes its stride before it convolves; weights, names and values are `nn.Conv2d`'s.

    In channels_last, where its input has less than 16 channels, oneDNN's strided one writes past its memory as it
    computes the weight's gradient: training ends in a crash, or goes on with what is wrong.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: pixels from one that is taken to the next, along both axes.
        bias: whether it has one.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)
        self.step = int(stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._conv_forward(x[:, :, :: self.step, :: self.step], self.weight, self.bias)


def mend_narrow(network: nn.Module) -> nn.Module:
    """Put a `StridedShortcut` in the place of every strided 1×1 convolution of a narrow input, with its weights."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.stride != (1, 1) \
                    and layer.in_channels < NARROW:
                mended = StridedShortcut(layer.in_channels, layer.out_channels, layer.stride[0], layer.bias is not None)
                mended.load_state_dict(layer.state_dict())
                setattr(parent, name, mended)
    return network
