"""The commands that a user types, as tests run them: from the repository's root, one thread each."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """`python -m` these words."""
    return subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})


def monai(bundle: str, *configs: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """`python -m monai.bundle run` with these configs of the bundle."""
    files = [f"{bundle}/configs/{name}.yaml" for name in configs]
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return run("monai.bundle", "run", "--bundle_root", bundle, "--config_file",
               files[0] if len(files) == 1 else files, *options)


def ok(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command that succeeded printed."""
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-2000:]
    return ended.stdout


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows."""
    with path.open() as file:
        return list(csv.DictReader(file))
