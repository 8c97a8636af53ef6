"""Versions, devices and import locations: the first thing to look at when something is odd."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("pipeline", "transforms", "data_lists")
UNITS = {"avx2": "AVX2", "avx512_f": "AVX512", "avx512_bf16": "AVX512_BF16", "amx_bf16": "AMX_BF16",
         "neon": "NEON", "bf16": "NEON_BF16", "sve": "SVE", "sve_bf16": "SVE_BF16"}  # by torch's names


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
    print(f"{'processor':16} {_processor()}")
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


def _processor() -> str:
    """The units that decide how fast float32 and bfloat16 are, and those that torch makes use of."""
    import torch

    offers = _offers()
    units = ", ".join(name for flag, name in UNITS.items() if offers.get(flag))
    name = offers.get("cpu_name") or platform.machine() or "of unknown name"
    return f"{name}, {units or 'vector units unknown'}; torch uses {torch.backends.cpu.get_cpu_capability()}"


def _bf16() -> str:
    import torch

    if torch.cuda.is_available():
        return "not needed, a GPU is there"
    from pipeline.training.precision import has_bf16

    if not has_bf16():
        return "emulated, slower than fp32; precision auto takes fp32"
    if _offers().get("amx_bf16"):
        return "fast (AMX); every run that asks for it proves it first"
    return "gain uncertain; precision auto times it"


def _offers() -> Mapping[str, Any]:
    """What the processor can do, by torch's names; empty before torch 2.10."""
    import torch

    return getattr(torch.cpu, "get_capabilities", dict)()
