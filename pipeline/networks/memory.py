"""Whether what a network is about to do fits the memory that is free: said before, not by a kill in the middle."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from pipeline.errors import InputError

_MEMINFO = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> float:
    """Memory that a network may still take, of the GPU or of the machine; infinity where that is not known.

    A container's or a job's own limit is not seen.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(free + held)
    if device.type != "cpu":
        return math.inf
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        return 1024.0 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError, IndexError):
        return math.inf


def demand(needed: float, device: torch.device, about: str, remedy: str) -> None:
    """Refuse what would not fit.

    Args:
        needed: bytes, an estimate.
        device: where.
        about: what takes them, for the error.
        remedy: what to do.

    Raises:
        InputError: less is free.
    """
    if needed > (free := free_bytes(device)):
        raise InputError(f"{about} takes about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; {remedy}",
                         code="too_large")
