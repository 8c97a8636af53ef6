"""What an engine is given and does: the parts of a study, and the command that does each of them anywhere.

A study is three parts, one behind the other: the preparation, the chains (a variant in a fold each, its steps one
behind the other), and what is combined of them. `local` does them in this process; `dask` hands the chains to the
workers of a cluster, and the preparation its exams; `slurm` submits them as jobs and leaves, in front of them one that
divides the exams where that is asked for. What a worker or a job runs is the study's own command for one chain, so that
all of them skip what is done, claim what they do and go on where another was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.study.step import Step

ENGINES = ("local", "dask", "slurm")


@dataclass(frozen=True)
class Needs:
    """What a chain takes while it runs.

    Attributes:
        cores: threads; None is what the engine finds.
        memory: GB; None is what the engine finds.
        gpus: how many; None is what the engine finds, one a process.
        processes: that train together.
    """

    cores: int | None = None
    memory: int | None = None
    gpus: int | None = None
    processes: int = 1


@dataclass(frozen=True)
class Part:
    """Chains of steps that run side by side, when those of the part before it have ended.

    Attributes:
        name: `exams` (some of them prepared a chain), `prepare`, `chains` or `combine`.
        chains: the steps, those of a chain one behind the other.
        todo: numbers of the chains that are not done.
        command: from a chain's number, or what stands for it in a job array, to the command that does it alone.
        needs: of each chain.
    """

    name: str
    chains: Sequence[Sequence[Step]]
    todo: Sequence[int]
    command: Callable[[str], list[str]]
    needs: Needs


class Engine(Protocol):
    """What runs the parts of a study."""

    def lines(self, parts: Sequence[Part]) -> list[str]:
        """The commands that it would run, as a shell takes them."""

    def run(self, parts: Sequence[Part]) -> int:
        """Run the parts, or see to it that they will be; returns an exit status.

        Raises:
            InputError: something failed; names it.
        """


def command_of(args: argparse.Namespace, *more: str) -> list[str]:
    """The study's own command, as it was given but for the engine, with further options.

    Args:
        args: what was given.
        more: options that say which part is done.
    """
    words = [sys.executable, "-m", "pipeline", "study", str(args.bundle), "--datalist", str(args.datalist), "--out",
             str(args.out), "--preset", args.preset, "--folds", args.folds, "--variants", args.variants]
    words += [word for setting in args.given for word in ("--set", setting)]
    words += [word for overlay in args.overlay for word in ("--overlay", str(overlay))]
    words += ["--processes", str(args.processes)] if args.processes > 1 else []
    words += ["--retry", str(args.retry)] if args.retry else []
    words += ["--adopt"] if args.adopt else []
    return [*words, *more]
