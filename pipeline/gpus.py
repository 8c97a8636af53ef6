"""The GPUs of this machine, asked of the driver: no package needs to be installed for it."""

from __future__ import annotations

import os
import subprocess


def gpu_count() -> int:
    """How many NVIDIA GPUs there are; 0 where there is no driver, or none that answers."""
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def gpus() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    What a scheduler or the user put there is kept: others may be somebody else's.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(i) for i in range(gpu_count())]
