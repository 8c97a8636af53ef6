"""What the images' containers start with: `start.py WORDS` runs `python -m WORDS`, or says in one line what is missing.

By convention /data is read and /runs is written. They are looked at where a command names them; what is mounted
elsewhere is the commands' own affair.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.gpus import gpu_count

OWN = "--user $(id -u):$(id -g)"
WRITTEN = {"/data": False, "/exported": False, "/runs": True, "/studies": True}


def mounts(table: str) -> list[str]:
    """Where something is mounted, from the text of /proc/self/mountinfo."""
    return [line.split()[4].replace("\\040", " ") for line in table.splitlines()]


def volume(folder: str, mounted: Sequence[str], root: Path = Path("/")) -> str | None:
    """What is wrong with a volume, with the remedy; None where it can be used."""
    here, user = root / folder[1:], os.getuid()
    if not any(place == folder or place.startswith(f"{folder}/") for place in mounted):
        lost = ", and what is written there would be lost with the container" if WRITTEN[folder] else ""
        return f"nothing is mounted at {folder}{lost}; add --volume FOLDER:{folder}{'' if WRITTEN[folder] else ':ro'}"
    if not os.access(here, os.R_OK | os.X_OK):
        return f"user {user} may not read what is mounted at {folder}; add {OWN}, or let others read it"
    if WRITTEN[folder]:
        if not os.access(here, os.W_OK):
            return (f"user {user} may not write to what is mounted at {folder}; add {OWN}, or give the folder to user "
                    f"{user}, and mount it without :ro")
    elif not any(here.iterdir()):
        return f"what is mounted at {folder} is empty: check its path; docker makes a folder where the host has none"
    return None


def lacks(words: Sequence[str], mounted: Sequence[str]) -> str | None:
    """What the container lacks for these words; None where nothing is known to be missing."""
    if os.environ.get("BREAST_BUNDLES_TORCH") == "cuda" and os.environ.get("CUDA_VISIBLE_DEVICES") != "" \
            and not gpu_count():
        return ("this image's PyTorch is for CUDA and the container has no GPU; add --gpus all (docker) or --device "
                "nvidia.com/gpu=all (podman), or --env CUDA_VISIBLE_DEVICES= to go on without")
    named = [folder for folder in WRITTEN if any(re.search(rf"(^|[=\s'\"\[]){folder}(/|$)", word) for word in words)]
    return next((found for folder in named if (found := volume(folder, mounted))), None)


def main(words: Sequence[str]) -> int:
    if found := lacks(words, mounts(Path("/proc/self/mountinfo").read_text())):
        print(f"error: {found}", file=sys.stderr)
        return 2
    os.execv(sys.executable, [sys.executable, "-m", *words])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
