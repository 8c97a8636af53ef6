"""Measuring: every work in a child process of its own, several works taking turns.

A child is forked from a parent that has only imported, so that its peak memory is its own work's and no work
profits from what another has warmed up. Works take turns within a repeat: what slows the machine down for a
while slows down all of them. What other processes took of the machine meanwhile is told with the results.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import psutil
import torch

THREADS = (1, 2)
MEGABYTE = 1 << 20


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Work:
    """Something to measure.

    Attributes:
        ready: sets up and warms up; returns what is timed, a function without arguments.
        calls: how often a child calls it; the median counts.
    """

    ready: Callable[[], Callable[[], Any]]
    calls: int = 1


@dataclass
class Result:
    """What one child measured.

    Attributes:
        seconds: median of its calls.
        peak: largest resident memory of the process, in MB.
        imports: resident memory of a child that has only imported, in MB.
        before: resident memory between warm-up and measurement, in MB.
        others: cores that other processes kept busy meanwhile.
        value: what the last call returned, where that is a dictionary.
    """

    seconds: float
    peak: float
    imports: float
    before: float
    others: float
    value: dict[str, float] | None


@dataclass
class Runs:
    """All repeats of one work at one number of threads."""

    results: list[Result] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(r.seconds for r in self.results)

    @property
    def least(self) -> float:
        return min(r.seconds for r in self.results)

    @property
    def peak(self) -> float:
        return statistics.median(r.peak for r in self.results)

    @property
    def added(self) -> float:
        """Memory above what the process held before the measurement, in MB."""
        return statistics.median(r.peak - r.before for r in self.results)

    def time(self, unit: float = 1.0) -> str:
        """Median (min–max) of the seconds, in units of 1/`unit` second."""
        times = [r.seconds for r in self.results]
        digits = 2 if unit == 1.0 else 1 if self.seconds * unit < 100 else 0
        middle, least, most = (f"{t * unit:,.{digits}f}" for t in (self.seconds, min(times), max(times)))
        return f"{middle} ({least}–{most})"

    def times(self, base: Runs, digits: int = 1) -> str:
        """How many times as long as `base`: by the medians, and by the least times."""
        if self is base:
            return ""
        return f"{self.seconds / base.seconds:.{digits}f} ({self.least / base.least:.{digits}f})"

    def stage(self, name: str) -> float:
        """Median of one stage, where the work returns seconds by stage."""
        return statistics.median(r.value[name] for r in self.results)


def take_turns(works: Mapping[str, Work], repeats: int) -> dict[tuple[str, int], Runs]:
    """Measure works in turns.

    Args:
        works: by name.
        repeats: children a work and number of threads.

    Returns:
        the runs, by name and number of threads.
    """
    runs = {(name, n): Runs() for n in THREADS for name in works}
    for repeat in range(repeats):
        for n in THREADS:
            names = list(works)
            for name in names[repeat % len(names):] + names[: repeat % len(names)]:  # nobody is always first
                result = in_child(_timed, works[name], threads=n)
                runs[name, n].results.append(result)
                print(f"  {repeat + 1}/{repeats} {name}, {n} threads: {result.seconds:.4f} s, "
                      f"{result.peak:.0f} MB, others {result.others:.1f}", flush=True)
    return runs


def in_child(function: Callable[..., Any], *arguments: Any, threads: int = 2) -> Any:
    """Call a function in a fresh child and return its (small) result.

    Raises:
        RuntimeError: the child failed; it has printed why.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, threads, function, arguments))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f"a measurement ended early (exit status {child.exitcode}); see above") from None
    finally:
        child.join()


def _child(sender: Connection, threads: int, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    torch.set_num_threads(threads)
    sender.send(function(*arguments))


def _timed(work: Work) -> Result:
    imports = _resident()
    timed = work.ready()
    before, busy, began = _resident(), _busy(), time.perf_counter()
    seconds = []
    for _ in range(work.calls):
        value = None  # what a call returned is freed before the next
        start = time.perf_counter()
        value = timed()
        seconds.append(time.perf_counter() - start)
    others = max(_busy() - busy, 0.0) / (time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE
    kept = value if isinstance(value, dict) else None
    return Result(statistics.median(seconds), peak, imports, before, others, kept)


def _busy() -> float:
    """Seconds of processor time that all processes but this one have used."""
    everyone, mine = psutil.cpu_times(), psutil.Process().cpu_times()
    return sum(everyone) - everyone.idle - getattr(everyone, "iowait", 0.0) - mine.user - mine.system


def _resident() -> float:
    return psutil.Process().memory_info().rss / MEGABYTE


def told(runs: Mapping[tuple[str, int], Runs]) -> str:
    """How busy others kept the machine during these runs."""
    others = [r.others for run in runs.values() for r in run.results]
    middle, least, most = statistics.median(others), min(others), max(others)
    return f"Meanwhile other processes kept {middle:.1f} cores busy (median; {least:.1f} to {most:.1f})."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]
