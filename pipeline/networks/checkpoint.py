"""Loading weights: all or nothing, and an error that names the first difference."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.files.receipts import digest, read_receipt

WEIGHTS = "weights"  # kind of their receipts
ORIGIN = ("fold", "assignment")  # what receipts of weights and cases both say

Network = TypeVar("Network", bound=nn.Module)


def load_weights(network: Network, checkpoint: Path | str, part: str = "", missing: str = "train it first",
                 cases: Sequence[Mapping[str, Any]] = ()) -> Network:
    """Load a state dict, or the part of it under one name, into a network.

    Args:
        network: changed in place.
        checkpoint: file of a state dict.
        part: the submodule to load, e.g. `backbone`; everything else keeps its values. Empty: the whole network.
        missing: what to do where there is no such file, for the error.
        cases: what the network will train on or score, of a prepared dataset: the weights must be of the same fold.

    Returns:
        the network.

    Raises:
        InputError: no such file, a damaged or changed one, the checkpoint of another network, or weights of another
            fold, which were trained on patients that these cases test.
    """
    path = Path(checkpoint)
    state = read_state(path, missing)
    receipt = read_receipt(path, WEIGHTS, "copy it again, with its receipt, or train again")
    if cases:
        _demand_fold(path, receipt, cases[0])
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
        if own[name].is_floating_point() and not state[name].is_floating_point():
            kind = str(state[name].dtype).removeprefix("torch.")
            raise InputError(f"{path.name}: {name} holds {kind} numbers, where the network takes real ones; copy it "
                             "again or train again", code="damaged")
    network.get_submodule(part).load_state_dict({name.removeprefix(prefix): t for name, t in state.items()})
    return network


def strict(network: Network) -> Network:
    """Make a network refuse weights that lack some of its own or bring others, whoever loads them.

    MONAI Label asks for no match, and answers from random weights then.

    Returns:
        the network; its `load_state_dict` raises `InputError`.
    """
    network.register_load_state_dict_post_hook(_refuse)
    return network


def _refuse(network: nn.Module, differences: Any) -> None:
    for names, what in ((differences.missing_keys, "lack"), (differences.unexpected_keys, "hold")):
        if wrong := [name for name in names if not name.endswith(".num_batches_tracked")]:
            raise InputError(f"the weights {what} {wrong[0]}: they are another network's; use the settings (channels, "
                             "sizes, overlays) they were trained with", code="other_network")


def epoch_files(checkpoint: Path | str) -> list[Path]:
    """Weights of single epochs beside the best model's, `model_epoch7.pt` beside `model.pt`, the first epoch first."""
    path, start = Path(checkpoint), f"{Path(checkpoint).stem}_epoch"
    found = {each.stem.removeprefix(start): each for each in path.parent.glob(f"{start}*{path.suffix}")}
    return [found[epoch] for epoch in sorted(filter(str.isdecimal, found), key=int)]


def other_epochs(checkpoint: Path | str) -> list[Path]:
    """What `best_epochs` kept of a training beside its best model: the epoch that this model is of left out."""
    others = epoch_files(checkpoint)
    own = digest(checkpoint) if others and Path(checkpoint).is_file() else None
    return [path for path in others if digest(path) != own]


def _demand_fold(path: Path, receipt: Mapping[str, Any] | None, case: Mapping[str, Any]) -> None:
    if receipt is None:
        print(f"{path.name}: has no receipt; it is not known which patients it was trained on", flush=True)
        return
    fold, folds = (receipt["about"].get(key, case.get(key)) for key in ORIGIN)
    if fold != case.get("fold"):
        raise InputError(f"{path.name}: trained in fold {fold}, this is fold {case.get('fold')}: it has seen patients "
                         f"that are tested here; name the weights of fold {case.get('fold')}", code="other_fold")
    if folds != case.get("assignment"):
        raise InputError(f"{path.name}: trained on other folds than this dataset's: it may have seen patients that are "
                         "tested here; name weights that were trained on this dataset, or train again",
                         code="other_fold")


def read_state(checkpoint: Path | str, missing: str = "train it first",
               damaged: str = "copy it again or train again") -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint: a state dict, by itself or under `network` or `model`.

    Args:
        checkpoint: the file.
        missing, damaged: what to do where there is none, or one that cannot be read, for the error.

    Raises:
        InputError: no such file, a damaged one, or one with weights that are not finite.
    """
    path = Path(checkpoint)
    if not path.is_file():
        raise InputError(f"{path.parent.name}/{path.name}: no such checkpoint; {missing}")
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("network") or state.get("model") or state
        state = {str(name): tensor.detach() for name, tensor in state.items()}
        broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    except Exception:  # what a file that is no checkpoint raises depends on its first bytes
        raise InputError(f"{path.name}: damaged, or no checkpoint of tensors; {damaged}", code="damaged") from None
    if broken:
        raise InputError(f"{path.name}: {len(broken)} tensors hold NaN or infinite weights, the first is "
                         f"{broken[0][:60]}; {damaged}", code="non_finite")
    return state


def _check_archive(path: Path) -> None:
    """Compare each record of a checkpoint with its check sum, which PyTorch passes over, and its size with the file's.

    PyTorch stores records as they are; one that is compressed may inflate to anything. Checkpoints of before PyTorch
    1.6 are no archives, and have no sums.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise ValueError("a compressed record")
        if sum(record.file_size for record in records) > path.stat().st_size or archive.testzip() is not None:
            raise ValueError("a record is damaged")
