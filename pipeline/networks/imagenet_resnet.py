"""2D ResNets with weights from ImageNet, from a local file, from the network, or none."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from monai.networks.nets import ResNet, resnet18, resnet34, resnet50, resnet101

from pipeline.errors import InputError
from pipeline.files.receipts import digest
from pipeline.networks.checkpoint import load_weights, strict
from pipeline.networks.shortcut import mend_narrow

_URL = "https://download.pytorch.org/models/"
# torchvision's names end in the first digits of the SHA-256.
KNOWN = {"resnet18": "resnet18-f37072fd.pth", "resnet34": "resnet34-b627a593.pth",
         "resnet50": "resnet50-0676ba61.pth", "resnet101": "resnet101-63fe2227.pth"}
_BUILDERS = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101}


def transfer_resnet34(channels: int = 3, classes: int = 2, weights: Path | str | None = None) -> ResNet:
    """ResNet34 for `(B, C, Y, X)`, torchvision's to the last weight; 21,285,698 parameters with 3 channels, 2 classes.

    Args:
        channels: of the input.
        classes: of the new last layer.
        weights: a checkpoint file in torchvision's naming; `resnet34` to fetch it (or take it from torch's cache);
            None for random weights. The last layer stays random; with another number of channels than three, so does
            the first.

    Raises:
        InputError: no such file, not what its name says, of another network, or no connection.
    """
    network = build_resnet(34, channels, classes)
    if weights is not None:
        load_imagenet(network, 34, weights)
    return network


def build_resnet(layers: int, channels: int, classes: int, widen: float = 1.0) -> ResNet:
    """A 2D ResNet with random weights, torchvision's to the last weight.

    MONAI's defaults are another network (first stride 1, biased shortcuts) into which ImageNet's weights load without
    a complaint.

    Args:
        layers: 18, 34, 50 or 101.
        channels: of the input.
        classes: of the last layer.
        widen: factor of every layer's channels; 1 is torchvision's network, less is for trials.

    Raises:
        InputError: another number of layers.
    """
    if layers not in _BUILDERS:
        raise InputError(f"layers is {layers}; choose {', '.join(map(str, _BUILDERS))}")
    network = _BUILDERS[layers](spatial_dims=2, n_input_channels=channels, num_classes=classes, conv1_t_stride=2,
                                bias_downsample=False, feed_forward=True, shortcut_type="B", pretrained=False,
                                widen_factor=widen)
    mend_narrow(network)
    return strict(network)


def load_imagenet(network: ResNet, layers: int, weights: Path | str, grey: bool = False) -> None:
    """Load all weights of torchvision's network whose shapes fit; the last layer keeps its own, whatever its shape.

    Args:
        network: of `build_resnet`, changed in place.
        layers: its number of layers.
        weights: a checkpoint file in torchvision's naming, or a name in `KNOWN` to fetch it.
        grey: the network has one input channel: its first layer takes the sum of the three colours' weights.

    Raises:
        InputError: see `transfer_resnet34`.
    """
    path = _fetch(str(weights)) if str(weights) in KNOWN else Path(weights)
    if not path.is_file():
        raise InputError(f"weights {path.name}: no such file; copy torchvision's {KNOWN[f'resnet{layers}']} there "
                         f"(from {_URL}), or set weights to null for random ones")
    if (named := re.fullmatch(r"resnet\d+-([0-9a-f]{8})\.pth", path.name)) and not digest(path).startswith(named[1]):
        raise InputError(f"weights {path.name}: not the file that its name says (SHA-256 differs); copy it again")
    source = load_weights(build_resnet(layers, 3, 1000), path).state_dict()
    if grey:
        source["conv1.weight"] = source["conv1.weight"].sum(dim=1, keepdim=True)
    own = network.state_dict()
    fitting = {name: tensor for name, tensor in source.items()
               if not name.startswith("fc.") and own[name].shape == tensor.shape}
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
