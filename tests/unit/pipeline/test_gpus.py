"""GPUs are counted by what the driver's own program says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.gpus import gpu_count, gpus


@pytest.mark.parametrize(("script", "count"), [
    ("echo 'GPU 0: NVIDIA A (UUID: GPU-1)'; echo 'GPU 1: NVIDIA A (UUID: GPU-2)'", 2),
    ("echo 'GPU 0: NVIDIA A (UUID: GPU-1)'; echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)'", 1),
    ("echo 'No devices found.'", 0),
    ("echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9", 0),
    (None, 0),
])
def test_what_the_driver_says(tmp_path: Path, monkeypatch, script: str | None, count: int) -> None:
    if script:
        tmp_path.joinpath("nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        tmp_path.joinpath("nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}" if script is None else f"{tmp_path}:/usr/bin:/bin")
    assert gpu_count() == count


@pytest.mark.parametrize(("given", "those"), [("1, GPU-7", ["1", "GPU-7"]), ("", []), ("-1", [])])
def test_what_a_scheduler_gave_is_what_there_is(monkeypatch, given: str, those: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus() == those
