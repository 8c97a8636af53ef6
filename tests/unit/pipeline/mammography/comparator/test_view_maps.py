"""Heat maps are computed once, kept by content, and computed again where a file is broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.mammography.comparator.view_maps import ViewHeatMaps
from pipeline.networks.patch_densenet import PatchDenseNet


class Ramp:
    """Stands for the classifier: maps from left to right, and from top to bottom."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, view: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(view.shape))
        rows, columns = (torch.linspace(0, 1, n) for n in view.shape)
        return torch.stack([columns.expand(view.shape), rows[:, None].expand(view.shape)])


@pytest.fixture
def make(tmp_path):
    torch.save(PatchDenseNet().state_dict(), tmp_path / "patches.p")

    def made() -> tuple[ViewHeatMaps, Ramp]:
        maps, ramp = ViewHeatMaps(tmp_path / "patches.p", tmp_path / "maps"), Ramp()
        maps.classify = ramp
        return maps, ramp

    return made


def breast(rows: int = 300, columns: int = 257) -> torch.Tensor:
    return torch.arange(float(rows * columns)).reshape(rows, columns) % 5000


def test_known_maps_are_read(make, tmp_path) -> None:
    maps, ramp = make()
    first = maps(breast())
    assert first.shape == (2, 300, 257) and first[0, 7, 128] == pytest.approx(0.5, abs=1e-5)  # 16 bits
    other, unused = make()
    assert torch.equal(other(breast()), first) and torch.equal(maps(breast()), first)
    assert ramp.shapes == [(300, 257)] and unused.shapes == []
    maps(breast() + 1)
    assert len(ramp.shapes) == 2 and len(list((tmp_path / "maps").iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", "half", "other"])
def test_broken_maps_are_computed_again(make, tmp_path, content) -> None:
    maps, ramp = make()
    first = maps(breast())
    (file,) = (tmp_path / "maps").iterdir()
    whole = file.read_bytes()
    if content == "other":
        np.savez(file, maps=np.zeros((2, 3, 3), np.uint16))
    else:
        file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert torch.equal(maps(breast()), first) and len(ramp.shapes) == 2
    assert torch.equal(maps(breast()), first) and len(ramp.shapes) == 2


def test_a_breast_smaller_than_a_patch_gets_air(make) -> None:
    maps, ramp = make()
    assert maps(breast(100, 80)).shape == (2, 100, 80) and ramp.shapes == [(256, 256)]


def test_no_classifier(tmp_path) -> None:
    with pytest.raises(InputError, match=r"none.p: no such file; download the patch classifier's weights"):
        ViewHeatMaps(tmp_path / "none.p", tmp_path)
