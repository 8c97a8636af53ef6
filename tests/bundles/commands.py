"""The commands that a user types, as tests run them: from the repository's root, one thread each."""

from __future__ import annotations

import csv
import os
import subprocess
from pathlib import Path
from typing import Any

import warm_start

ROOT = Path(__file__).parents[2]


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """`python -m` these words."""
    return warm_start.run(list(map(str, words)), cwd, {**os.environ, "OMP_NUM_THREADS": "1"})


def bundle_run(bundle: str, *configs: str, **settings: Any) -> list[str]:
    """Words of `monai.bundle run` with these configs of the bundle, or paths with a slash."""
    files = [name if "/" in name else f"{bundle}/configs/{name}.yaml" for name in configs]
    options = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    return ["monai.bundle", "run", "--bundle_root", bundle, "--config_file",
            files[0] if len(files) == 1 else str(files), *options]


def monai(bundle: str, *configs: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """`python -m monai.bundle run` with these configs of the bundle."""
    return run(*bundle_run(bundle, *configs, **settings))


def ok(ended: subprocess.CompletedProcess[str]) -> str:
    """What a command that succeeded printed."""
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-2000:]
    return ended.stdout


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows."""
    with path.open() as file:
        return list(csv.DictReader(file))
