"""The four-view network that mammography's holistic model is compared with ('Pretrained', paper §3.5; Wu et al. 2019).

Tensors are named as in the public checkpoints, so that a user's copy loads. The Gaussian noise that its authors add
to the input in training is left out: here the trunks are never trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.checkpoint import read_state

VIEWS = ("L-CC", "R-CC", "L-MLO", "R-MLO")
OUTCOMES = ("left-benign", "right-benign", "left-malignant", "right-malignant")
WIDTHS = (16, 32, 64, 128, 256)
_PAIRS = ("cc", "mlo")
Views = Mapping[str, torch.Tensor] | Sequence[torch.Tensor]


class Block(nn.Module):
    """norm – ReLU – conv3 – norm – ReLU – conv3, plus the shortcut; a projected shortcut sees the activated input."""

    def __init__(self, inputs: int, outputs: int, stride: int, project: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False)) if project else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn1(x).relu_()
        shortcut = x if self.downsample is None else self.downsample(y)
        return self.conv2(self.bn2(self.conv1(y)).relu_()) + shortcut


class ResNet22(nn.Module):
    """Pre-activation trunk: `(B, C, H, W)` to `(B, 256, H/64, W/64)`; 2,799,536 parameters with one channel.

    A CC view of 2677×1942 ends in 42×31 cells, an MLO view of 2974×1748 in 47×28.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(channels, WIDTHS[0], 7, 2, bias=False)
        self.first_pool = nn.MaxPool2d(3, 2)
        inputs = (WIDTHS[0], *WIDTHS)
        self.layer_list = nn.ModuleList(
            nn.Sequential(Block(inputs[stage], width, 2 if stage else 1, True), Block(width, width, 1, False))
            for stage, width in enumerate(WIDTHS))
        self.final_bn = nn.BatchNorm2d(WIDTHS[-1])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.first_pool(self.first_conv(image))
        for stage in self.layer_list:
            x = stage(x)
        return self.final_bn(x).relu_()


class OutputLayer(nn.Module):
    """Linear to two logits (absent, present) for each of the four outcomes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc_layer = nn.Linear(2 * WIDTHS[-1], 2 * len(OUTCOMES))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.fc_layer(hidden).unflatten(1, (len(OUTCOMES), 2))


class FourViewNetwork(nn.Module):
    """The view-wise model: a trunk and a head for both CC views, and for both MLO views.

    An exam is a dictionary with the keys `VIEWS`, or four tensors in that order, each `(B, C, H, W)`: views flipped to
    one side and standardised. Sizes may differ between views. 6,132,592 parameters with one channel (the image-only
    form), 6,135,728 with three (image, benign heat map, malignant heat map).

    Args:
        channels: 1 or 3.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.four_view_resnet = nn.ModuleDict({pair: ResNet22(channels) for pair in _PAIRS})
        features = 2 * WIDTHS[-1]  # of the left and the right view
        self.fc1_cc, self.fc1_mlo = nn.Linear(features, features), nn.Linear(features, features)
        self.output_layer_cc, self.output_layer_mlo = OutputLayer(), OutputLayer()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, views: Views) -> torch.Tensor:
        """Probabilities `(B, 4)` of the `OUTCOMES`: the mean of the CC and the MLO pair's."""
        return self.probabilities(*self.hidden(views))

    def probabilities(self, cc: torch.Tensor, mlo: torch.Tensor) -> torch.Tensor:
        """As `forward`, from what `hidden` gives."""
        return (self.output_layer_cc(cc).float().softmax(dim=2)[..., 1]
                + self.output_layer_mlo(mlo).float().softmax(dim=2)[..., 1]) / 2

    def hidden(self, views: Views) -> tuple[torch.Tensor, torch.Tensor]:
        """What the output layers see: of the CC and of the MLO pair, each `(B, 512)`, not negative."""
        left_cc, right_cc, left_mlo, right_mlo = _in_order(views)
        cc = [self.four_view_resnet["cc"](view).mean(dim=(2, 3)) for view in (left_cc, right_cc)]
        mlo = [self.four_view_resnet["mlo"](view).mean(dim=(2, 3)) for view in (left_mlo, right_mlo)]
        return self.fc1_cc(torch.cat(cc, dim=1)).relu(), self.fc1_mlo(torch.cat(mlo, dim=1)).relu()


def adapted_head() -> nn.Linear:
    """The head of `AdaptedFourView`: hidden features `(B, 1024)` to logits `(B, 2)`."""
    return nn.Linear(4 * WIDTHS[-1], 2)


class AdaptedFourView(nn.Module):
    """'Adapted': a new head that predicts cancer in the exam, on a frozen four-view network (paper §3.5).

    Ours: the paper does not say where the head begins; here it is one linear layer on both pairs' hidden features.

    Args:
        network: with its weights; frozen here, and always in evaluation mode.
    """

    def __init__(self, network: FourViewNetwork) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.head = adapted_head()

    def train(self, mode: bool = True) -> AdaptedFourView:
        """Only the head: the frozen batch norms keep their statistics."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, views: Views) -> torch.Tensor:
        """Logits `(B, 2)`: no cancer, cancer."""
        with torch.no_grad():
            features = torch.cat(self.network.hidden(views), dim=1)
        return self.head(features)


def _in_order(views: Views) -> list[torch.Tensor]:
    if isinstance(views, Mapping):
        if missing := [name for name in VIEWS if name not in views]:
            raise InputError(f"the exam has no view {missing[0]}; the four-view network needs {', '.join(VIEWS)}")
        return [views[name] for name in VIEWS]
    if len(views) != len(VIEWS):
        raise InputError(f"the exam has {len(views)} views; the four-view network needs {', '.join(VIEWS)}")
    return list(views)


def load_four_view(network: FourViewNetwork, file: Path | str) -> FourViewNetwork:
    """Load a public checkpoint, all of it or nothing.

    The public files hold each trunk under several names (`l_cc`, `r_cc` and `cc` are one trunk): one is enough, and
    all must agree.

    Args:
        network: changed in place.
        file: a state dict, by itself or under `model`.

    Returns:
        the network.

    Raises:
        InputError: no such file, a damaged one, a tensor that is missing, surplus or of another shape, or names of one
            trunk that disagree.
    """
    path = Path(file)
    state = read_state(path, "download the four-view weights from their authors", "copy it again")
    state, own = _without_aliases(state, path.name), network.state_dict()
    state = {**{name: own[name] for name in own if name.endswith(".num_batches_tracked")}, **state}
    for name in [*own, *(name for name in state if name not in own)]:
        here = tuple(own[name].shape) if name in own else "absent"
        there = tuple(state[name].shape) if name in state else "absent"
        if here != there:
            raise InputError(f"{path.name}: not this four-view network's weights: {name} is {there}, expected {here}; "
                             "give the image-only file for 1 channel, the one with heat maps for 3")
    network.load_state_dict(state)
    return network


def _without_aliases(state: dict[str, torch.Tensor], file: str) -> dict[str, torch.Tensor]:
    """Left and right views share a trunk: `four_view_resnet.{l_cc,r_cc}` become `four_view_resnet.cc`."""
    result: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "four_view_resnet" and parts[1:2] and parts[1] in ("l_cc", "r_cc", "l_mlo", "r_mlo"):
            parts[1] = parts[1][2:]
        known = result.setdefault(".".join(parts), tensor)
        if known.shape != tensor.shape or not torch.equal(known, tensor):
            raise InputError(f"{file}: {name} differs from the same trunk's tensor under another name; left and right "
                             "views share their weights: copy the file again")
    return result
