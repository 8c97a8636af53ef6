"""Loading weights: all or nothing, and an error that names the first difference."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from pipeline.errors import InputError

Network = TypeVar("Network", bound=nn.Module)


def load_weights(network: Network, checkpoint: Path | str, part: str = "", missing: str = "train it first") -> Network:
    """Load a state dict, or the part of it under one name, into a network.

    Args:
        network: changed in place.
        checkpoint: file of a state dict.
        part: the submodule to load, e.g. `backbone`; everything else keeps its values. Empty: the whole network.
        missing: what to do where there is no such file, for the error.

    Returns:
        the network.

    Raises:
        InputError: no such file, a damaged one, or the checkpoint of another network.
    """
    path = Path(checkpoint)
    state = read_state(path, missing)
    prefix = f"{part}." if part else ""
    state = {name: tensor for name, tensor in state.items() if name.startswith(prefix)}
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(prefix)}
    # Counters of batch norm, which older checkpoints lack and nothing reads.
    state = {**{name: own[name] for name in own if name.endswith(".num_batches_tracked")}, **state}
    for name in [*own, *(name for name in state if name not in own)]:
        here = tuple(own[name].shape) if name in own else "absent"
        there = tuple(state[name].shape) if name in state else "absent"
        if here != there:
            raise InputError(f"{path.name}: checkpoint of another network: {name} is {there}, expected {here}; "
                             "use the settings (channels, sizes, overlays) it was trained with")
    network.load_state_dict(state, strict=not part)
    return network


def read_state(checkpoint: Path | str, missing: str = "train it first",
               damaged: str = "copy it again or train again") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint: a state dict, by itself or under `network` or `model`.

    Args:
        checkpoint: the file.
        missing, damaged: what to do where there is none, or one that cannot be read, for the error.

    Raises:
        InputError: no such file, or a damaged one.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise InputError(f"{path.parent.name}/{path.name}: no such checkpoint; {missing}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("network") or state.get("model") or state
        return {str(name): tensor.detach() for name, tensor in state.items()}
    except Exception:  # what a file that is no checkpoint raises depends on its first bytes
        raise InputError(f"{path.name}: damaged, or no checkpoint of tensors; {damaged}") from None
