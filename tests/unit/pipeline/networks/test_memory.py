"""What would not fit is refused before it is begun."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.errors import InputError
from pipeline.networks import memory
from pipeline.networks.doubly_deep import DoublyDeepNet

CPU = torch.device("cpu")


def test_free_memory_is_what_the_machine_says(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    assert memory.free_bytes(CPU) == math.inf  # another system
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemAvailable:   3000 kB\n")
    assert memory.free_bytes(CPU) == 3000 * 1024
    with pytest.raises(InputError, match=r"this takes about 0.1 GB, 0.0 GB are free; do that"):
        memory.demand(1e8, CPU, "this", "do that")
    memory.demand(3e6, CPU, "this", "do that")


@pytest.mark.parametrize(("recompute", "measured"), [(0, 7.1), (1, 4.2), (2, 2.3)])
def test_the_estimate_of_a_step_is_near_what_was_measured(recompute, measured) -> None:
    """GB kept of 160 slices of 448 × 448, in float32."""
    with torch.device("meta"):
        network = DoublyDeepNet(recompute=recompute)
    assert network.step_bytes((448, 448, 160)) / 1e9 == pytest.approx(measured, rel=0.1)


def test_an_exam_too_large_to_train_on_is_refused_and_scored_all_the_same(monkeypatch) -> None:
    network = DoublyDeepNet((2, 2), (1, 1), 2, recompute=1)
    image = torch.zeros(1, 1, 16, 16, 2)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000.0)
    with pytest.raises(InputError, match=r"an exam of 16 × 16 × 2 voxels takes about .*raise recompute to 3, set"):
        network(image)
    with torch.no_grad():
        assert network(image).shape == (1, 8)
