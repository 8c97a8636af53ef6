"""Checkpoints that hold something else than what was trained: refused in one line, before anything is computed."""

from __future__ import annotations

import resource
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.checkpoint import load_weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))


def saved(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return lambda path: torch.save({k: change(v) if v.is_floating_point() else v
                                    for k, v in network().state_dict().items()}, path)


def flip(path: Path, count: int = 1) -> None:
    """Flip bits of stored weights, which leaves the archive readable."""
    content = bytearray(path.read_bytes())
    at = content.find(network()[3].weight.detach().numpy().tobytes())
    for i in range(count):
        content[at + 4 * i] ^= 0x40
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """A GB of zeros, deflated to some MB."""
    with (zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
          archive.open("archive/data/99", "w") as file):
        for _ in range(32):
            file.write(bytes(1 << 25))


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "one bit flipped": (flip, "damaged, or no checkpoint"),
    "three bits flipped": (lambda path: flip(path, 3), "damaged, or no checkpoint"),
    "a deflated record of 1 GB": (bomb, "damaged, or no checkpoint"),
    "cut in half": (lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), "damaged"),
    "all infinite": (saved(lambda v: v * torch.inf), "NaN or infinite weights"),
    "one NaN": (saved(lambda v: torch.where(v == v.flatten()[0], torch.nan, v)), "NaN or infinite weights"),
    "whole numbers": (saved(lambda v: v.to(torch.int8)), "holds int8 numbers, where the network takes real ones"),
    "complex numbers": (saved(lambda v: v.to(torch.complex64)), "holds complex64 numbers"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG"), "damaged, or no checkpoint"),
    "a list": (lambda path: torch.save([1, 2], path), "damaged, or no checkpoint"),
}


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.save(network().state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_sound_weights_load_whatever_the_format(weights) -> None:
    for old in (True, False):
        torch.save(network().state_dict(), weights, _use_new_zipfile_serialization=not old)
        other = network()
        nn.init.zeros_(other[3].weight)
        assert torch.equal(load_weights(other, weights)[3].weight, network()[3].weight)


def test_half_precision_is_real_too(weights) -> None:
    saved(torch.Tensor.half)(weights)
    assert load_weights(network(), weights)[3].weight.dtype == torch.float32


@pytest.mark.parametrize("name", FAULTS)
def test_one_line_with_the_remedy(weights, name) -> None:
    damage, line = FAULTS[name]
    damage(weights)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=f"^model.pt: .*({line}).*again") as caught:
        load_weights(network(), weights)
    assert len(str(caught.value).splitlines()) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
