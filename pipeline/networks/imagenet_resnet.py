"""2D ResNets with weights from ImageNet, from a local file, from the network, or none."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import torch
from monai.networks.nets import ResNet, resnet34
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.checkpoint import load_weights

_URL = "https://download.pytorch.org/models/"
KNOWN = {"resnet34": "resnet34-b627a593.pth"}  # torchvision's names end in the first digits of the SHA-256


def transfer_resnet34(channels: int = 3, classes: int = 2, weights: Path | str | None = None) -> ResNet:
    """ResNet34 for `(B, C, Y, X)`, torchvision's to the last weight; 21,285,698 parameters with 3 channels, 2 classes.

    MONAI's defaults are another network (first stride 1, biased shortcuts) into which ImageNet's weights load without
    a complaint.

    Args:
        channels: of the input.
        classes: of the new last layer.
        weights: a checkpoint file in torchvision's naming; `resnet34` to fetch it (or take it from torch's cache);
            None for random weights. The last layer stays random; with another number of channels than three, so does
            the first.

    Raises:
        InputError: no such file, not what its name says, of another network, or no connection.
    """
    network = resnet34(spatial_dims=2, n_input_channels=channels, num_classes=classes, conv1_t_stride=2,
                       bias_downsample=False, feed_forward=True, shortcut_type="B", pretrained=False)
    if weights is not None:
        _load(network, weights)
    return network


def _load(network: nn.Module, weights: Path | str) -> None:
    path = _fetch(str(weights)) if str(weights) in KNOWN else Path(weights)
    if not path.is_file():
        raise InputError(f"weights {path.name}: no such file; copy torchvision's {KNOWN['resnet34']} there (from "
                         f"{_URL}), or set weights to null for random ones")
    if (named := re.fullmatch(r"resnet\d+-([0-9a-f]{8})\.pth", path.name)) and not _digest(path).startswith(named[1]):
        raise InputError(f"weights {path.name}: not the file that its name says (SHA-256 differs); copy it again")
    source = load_weights(transfer_resnet34(3, 1000), path).state_dict()
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in source.items() if own[name].shape == tensor.shape}
    network.load_state_dict({**own, **fitting})


def _fetch(name: str) -> Path:
    target = Path(torch.hub.get_dir()) / "checkpoints" / KNOWN[name]
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(_URL + KNOWN[name], str(target), KNOWN[name][-12:-4], progress=False)
        except (OSError, RuntimeError) as error:
            raise InputError(f"weights {name}: cannot be fetched ({error}); copy {_URL}{KNOWN[name]} to this machine "
                             "and name the file, or set weights to null for random ones") from None
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
