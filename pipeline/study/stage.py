"""The command of a stage: `monai.bundle run`, in one process, or by torchrun in several where it trains.

And the parts that the preparation may be divided into.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.receipts import digest_of
from pipeline.study.step import Step

_OVERLAY = "multi_gpu.yaml"  # in `common` beside the bundles
_PARTS = "prepared.parts"  # of a study's folder
_TRAINS = "train#trainer.run"  # in `run` of a config that trains


def trains(*contents: Mapping[str, Any]) -> bool:
    """Whether configs, the later over the earlier, train where they are run."""
    run = _last(contents, "run") or []
    return any(_TRAINS in str(each) for each in (run if isinstance(run, list) else [run]))


def command(bundle: Path, files: Sequence[Path], settings: Mapping[str, Any], processes: int = 1) -> list[str]:
    """What runs a stage, in the order in which `monai.bundle` takes it.

    Args:
        bundle: its folder.
        files: its configs, the later over the earlier.
        settings: name to value, over those of the configs.
        processes: how many share it; several take an overlay more, and torchrun starts them.
    """
    launched = [sys.executable, "-m"]
    if processes > 1:
        launched += ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
        files = [*files, bundle.parent / "common" / _OVERLAY]
    words = [*launched, "monai.bundle", "run", "--bundle_root", str(bundle), "--config_file",
             repr(list(map(str, files))) if len(files) > 1 else str(files[0])]
    return words + [word for key, value in settings.items() for word in (f"--{key}", str(value))]


def processes_of(name: str, bundle: Path, contents: Sequence[Mapping[str, Any]], wanted: int) -> int:
    """How many processes share a stage: those that are wanted where it trains, else one.

    Args:
        name: of the step, for the error.
        bundle: its folder.
        contents: its configs, the later over the earlier.
        wanted: what is asked for.

    Raises:
        InputError: a step's batch has no equal share for each process, and would have to be another one; or no
            overlay for several processes.
    """
    if wanted == 1 or not trains(*contents):
        return 1
    if not (bundle.parent / "common" / _OVERLAY).is_file():
        raise InputError(f"--processes {wanted}: there is no common/{_OVERLAY} beside {bundle.name}; name a bundle of "
                         "a checkout, or leave --processes out")
    batch = _last(contents, "batch_size")
    if isinstance(batch, int) and batch % wanted:
        fewer = next(count for count in range(min(batch, wanted), 0, -1) if batch % count == 0)
        raise InputError(f"--processes {wanted}: {name} has batch_size {batch}, which {wanted} processes cannot share "
                         f"equally; give --processes {fewer}, or an --overlay with a batch_size that they can share")
    return wanted


def _last(contents: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((content[name] for content in reversed(contents) if name in content), None)


def part_of(prepare: Step, index: int, count: int) -> Step:
    """Every so many-th exam of the preparation, as a step of its own: what it leaves is found ready by the whole."""
    return Step(f"part {index + 1} of {count} prepare", prepare.folder.parent / _PARTS / f"{index}of{count}",
                [*prepare.command, "--shard", f"{index}/{count}"], digest_of([prepare.key, index, count]))


def parts_begun(prepare: Step) -> list[Step]:
    """The parts that somebody has begun."""
    names = sorted(path.name.split("of") for path in (prepare.folder.parent / _PARTS).glob("*of*"))
    return [part_of(prepare, *map(int, name)) for name in names if len(name) == 2 and all(map(str.isdecimal, name))]
