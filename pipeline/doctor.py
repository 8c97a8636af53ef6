"""Versions, devices and import locations: the first thing to look at when something is odd."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
from pathlib import Path

PACKAGES = ("pipeline", "transforms", "data_lists")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paths", action="store_true", help="also print where packages are imported from")


def main(args: argparse.Namespace) -> int:
    """Print the facts; returns 1 where something cannot work."""
    import torch

    from pipeline.training.guard import environment

    problems = []
    for name, value in environment().items():
        print(f"{name:16} {value}")
        if value == "not installed" and name != "git":
            problems.append(f"{name} is not installed; run make venv, or pip install -e .")
    print(f"{'cores':16} {os.cpu_count()}, torch uses {torch.get_num_threads()} threads")
    for i in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(i).total_memory / 2**30
        print(f"{f'gpu {i}':16} {torch.cuda.get_device_name(i)}, {memory:.0f} GiB")
    print(f"{'bf16 on CPU':16} {_bf16()}")
    print(f"{'free disk':16} {shutil.disk_usage('.').free / 2**30:.0f} GiB here")
    homes = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.origin:
            problems.append(f"{package} cannot be imported; run make venv, or pip install -e .")
            continue
        homes[package] = Path(spec.origin).parent.parent
        if args.paths:
            print(f"{package:16} {homes[package] / package}")
    if len(set(homes.values())) > 1:
        problems.append("pipeline, transforms and data_lists come from different folders (--paths shows them); "
                        "another package of that name hides ours: use a fresh environment")
    for problem in problems:
        print(f"problem: {problem}")
    print("all well" if not problems else f"{len(problems)} problems")
    return 1 if problems else 0


def _bf16() -> str:
    import torch

    if torch.cuda.is_available():
        return "not needed, a GPU is there"
    amx = torch.cpu._is_amx_tile_supported() if hasattr(torch.cpu, "_is_amx_tile_supported") else False
    return "fast (AMX); every run that asks for it proves it first" if amx else "no gain expected (no AMX)"
