"""Strided shortcuts: the function of `nn.Conv2d`, and safe to train where oneDNN's are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from pipeline.networks.doubly_deep import DoublyDeepNet
from pipeline.networks.four_view import FourViewNetwork
from pipeline.networks.imagenet_resnet import build_resnet
from pipeline.networks.mammogram_resnet import mammogram_resnet
from pipeline.networks.patch_densenet import PatchDenseNet
from pipeline.networks.shortcut import NARROW, StridedShortcut, mend_narrow

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(("stride", "shape"), [(2, (8, 10)), (2, (7, 9)), (3, (7, 8))])
def test_it_is_the_strided_convolution(stride, shape) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 5, 1, stride).double()
    ours = StridedShortcut(3, 5, stride).double()
    ours.load_state_dict(plain.state_dict())
    first, second = (torch.randn(2, 3, *shape).double().requires_grad_() for _ in range(2))
    with torch.no_grad():
        second.copy_(first)
    torch.testing.assert_close(ours(second), plain(first))
    plain(first).square().sum().backward()
    ours(second).square().sum().backward()
    torch.testing.assert_close(second.grad, first.grad)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)
    assert torch.equal(torch.jit.script(ours)(second), ours(second))


def test_narrow_networks_are_mended_with_the_weights_that_they_were_drawn_with() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 8, 1, 2), nn.Sequential(nn.Conv2d(8, 4, 1)), nn.Conv2d(NARROW, 4, 1, 2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    kinds = [type(layer) for layer in mend_narrow(network).modules()][1:]
    assert kinds == [StridedShortcut, nn.Sequential, nn.Conv2d, nn.Conv2d]
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert before.keys() == network.state_dict().keys()


@pytest.mark.parametrize("network", [
    lambda: mammogram_resnet(18, widen=0.125), lambda: mammogram_resnet(34, widen=0.2),
    lambda: mammogram_resnet(50, widen=0.05), lambda: build_resnet(18, 3, 2, 0.1), lambda: FourViewNetwork(1),
    PatchDenseNet, lambda: DoublyDeepNet((4, 8), (1, 1), 4),
], ids=["mammogram 18", "mammogram 34", "mammogram 50", "ImageNet", "four views", "patches", "doubly deep"])
def test_no_network_has_a_narrow_one_of_onednn_s(network) -> None:
    for name, layer in network().named_modules():
        if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.stride != (1, 1):
            assert layer.in_channels >= NARROW, name


def test_training_writes_nothing_past_its_memory() -> None:
    """Every block of memory is looked at when it is freed (glibc's MALLOC_CHECK_); oneDNN's own ends this at once."""
    script = """
import torch
from pipeline.networks.doubly_deep import DoublyDeepNet
from pipeline.networks.shortcut import StridedShortcut
torch.manual_seed(0)
for inputs in (2, 8, 15):
    layer = StridedShortcut(inputs, 2 * inputs, 2).to(memory_format=torch.channels_last)
    layer(torch.randn(3, inputs, 56, 40).contiguous(memory_format=torch.channels_last)).sum().backward()
network = DoublyDeepNet((8, 16), (1, 1), 4, micro_batch=3)
torch.nn.init.normal_(network.heads.weight)
network(torch.randn(1, 1, 224, 160, 3)).sum().backward()
print("trained")
"""
    checked = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT,
                           env={**os.environ, **checked})
    assert ended.stdout == "trained\n", ended.returncode
