"""One process alone, and two that average their gradients."""

from __future__ import annotations

import os
import subprocess
import sys

import torch
from torch import nn

from pipeline.training import distributed

TWO = """
import sys
from pathlib import Path
import torch
from torch import nn
from pipeline.training import distributed
distributed.start(); distributed.start()  # the second does nothing
network = distributed.share(nn.Linear(1, 1, bias=False))
rank = int(not distributed.is_first())
network(torch.tensor([[1.0 + 2 * rank]])).sum().backward()  # gradients 1 and 3
Path(sys.argv[1], f"rank{rank}").write_text(str(float(network.module.weight.grad)))
distributed.stop(); distributed.stop()
"""


def test_one_process_shares_with_nobody(monkeypatch) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    distributed.start()
    network = nn.Linear(1, 1)
    assert distributed.share(network) is network and distributed.is_first()
    if not torch.cuda.is_available():
        assert distributed.device() == torch.device("cpu")
    distributed.stop()


def test_two_processes_average_their_gradients(tmp_path) -> None:
    (tmp_path / "two.py").write_text(TWO)
    for _ in range(3):  # gloo aborts a process in one of some hundred runs (open upstream); an error is no abort
        ended = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                                str(tmp_path / "two.py"), str(tmp_path)], capture_output=True, text=True, timeout=120,
                               env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1",
                                    "CUDA_VISIBLE_DEVICES": ""})
        if "terminate called" not in ended.stderr:
            break
    assert ended.returncode == 0, ended.stderr[:2000]  # the processes' own words come first
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2.0", "2.0"]
