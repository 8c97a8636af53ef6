"""`python -m pipeline.install`: what `make venv` runs to install the project, with the PyTorch that fits the machine.

The default index has PyTorch for Linux with CUDA: gigabytes that a machine without an NVIDIA GPU never uses. There
PyTorch's own index of CPU builds is asked as well, for PyTorch alone. This runs before anything is installed, so it
imports nothing but the standard library.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.gpus import gpu_count

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
BUILDS = ("auto", "cpu", "cuda")
# Measured on Linux, Python 3.11, from an empty environment; the minutes depend on the line.
SIZES = {"cpu": "0.4 GB to download, 2.1 GB on disk, 2 to 10 minutes",
         "cuda": "3 GB to download, 6 GB on disk, 4 to 30 minutes"}
PATIENCE = 15  # seconds until an index counts as out of reach; pip would try five times for every package


def main(argv: list[str] | None = None) -> int:
    """Install, with pip's own progress on the screen; returns pip's exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.install", description="Install this checkout with the "
                                     "PyTorch that fits the machine.")
    parser.add_argument("--torch", choices=BUILDS, default="auto", help="build of PyTorch; auto: cuda where there is "
                        "an NVIDIA GPU, else cpu (default: %(default)s)")
    parser.add_argument("--constraint", default="constraints.txt", help="exact versions (default: %(default)s)")
    parser.add_argument("--extras", default="", metavar="A,B", help="extras of the project, test for example")
    parser.add_argument("--index", default=CPU_INDEX, help="PyTorch's CPU builds (default: %(default)s)")
    args = parser.parse_args(argv)
    if is_there(args.constraint):
        print(f"installing {args.extras or 'the project'} beside the PyTorch that is there", flush=True)
        return subprocess.call(project(args.constraint, args.extras))
    build = choose(args.torch)
    print(f"installing PyTorch for {told(args.torch, build)} and what the bundles need: about {SIZES[build]}",
          flush=True)
    if build == "cpu" and sys.platform == "linux":  # elsewhere the default index has CPU builds
        if not reachable(args.index):
            print(f"{args.index} cannot be reached: PyTorch comes from pip's own index, which may have CUDA in it "
                  f"({SIZES['cuda']})", flush=True)
        elif subprocess.call(pytorch(args.constraint, args.index)):
            print(f"{args.index} has no PyTorch for this Python: it comes from pip's own index", flush=True)
    return subprocess.call(project(args.constraint, args.extras))


def is_there(constraint: str) -> bool:
    """Whether PyTorch is installed in the version that the constraints want, whichever build."""
    try:
        found = version("torch").partition("+")[0]
    except PackageNotFoundError:
        return False
    return f"torch=={found}" in Path(constraint).read_text(encoding="utf-8").splitlines()


def choose(wanted: str) -> str:
    """The build that was asked for; `auto` looks for a GPU."""
    return wanted if wanted != "auto" else "cuda" if gpu_count() else "cpu"


def told(wanted: str, build: str) -> str:
    """The build and why, for the first line."""
    name = {"cpu": "CPU", "cuda": "CUDA"}[build]
    if wanted != "auto":
        return f"{name}, as asked"
    return f"{name} (an NVIDIA GPU was found)" if build == "cuda" else f"{name} (no NVIDIA GPU was found; " \
        "TORCH=cuda takes the other)"


def reachable(index: str) -> bool:
    """Whether an index answers; one try, because pip would wait for each package anew."""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=PATIENCE):
            return True
    except (OSError, ValueError):  # URLError is one
        return False


def pytorch(constraint: str, index: str) -> list[str]:
    """The command that installs PyTorch alone: of one version, pip prefers the build with a label, `2.13.0+cpu`."""
    return [sys.executable, "-m", "pip", "install", "--constraint", constraint, "--extra-index-url", index, "torch"]


def project(constraint: str, extras: str) -> list[str]:
    """The command that installs everything else, and the project itself where it lies."""
    return [sys.executable, "-m", "pip", "install", "--constraint", constraint, "--editable",
            f".[{extras}]" if extras else "."]


if __name__ == "__main__":
    sys.exit(main())
