"""Work shared between processes, of this machine or of a dask cluster, and their common end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.errors import InputError


def cores() -> int:
    """Cores that this process may use, which under SLURM are fewer than the machine has."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("SLURM_CPUS_PER_TASK", "")  # binding to cores is a site's choice
    return min(own, int(asked)) if asked.isdecimal() and int(asked) else own


def every_nth(option: str, text: str) -> slice:
    """What `I/N` picks of a list: every N-th item from the I-th on, counted from 0.

    Raises:
        InputError: it says something else.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"--{option} {text}: give I/N with I from 0 to N-1")
    return slice(int(index), None, int(count))


def shared(work: Callable[..., Any], items: Sequence[Any], *arguments: Any, workers: int | None = None,
           scheduler: str | None = None, reads: Sequence[Path] = (), writes: Sequence[Path] = (),
           **bar: Any) -> Iterator[Any]:
    """Results of `work(item, *arguments)` in the order in which they are ready, under a progress bar.

    A SIGTERM, an interrupt or an error ends the workers too.

    Args:
        work: importable by name, as other processes need it.
        items: what is worked on.
        arguments: the same for all.
        workers: processes; default: one a core.
        scheduler: address of a dask cluster whose workers do it instead, all of them.
        reads: what these must have at the same place.
        writes: folders that they must share with this machine.
        bar: options of tqdm.

    Raises:
        InputError: no such cluster, or a worker that cannot take part.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    with ended_together(), ExitStack() as open_ones:
        if scheduler:
            from pipeline.cluster import joblib_on  # of an extra

            open_ones.enter_context(joblib_on(scheduler, reads, writes))
            jobs = -1
        else:
            jobs = min(workers or cores(), max(len(items), 1))
        results: Iterable[Any] = Parallel(n_jobs=jobs, return_as="generator_unordered")(
            delayed(work)(item, *arguments) for item in items)
        yield from tqdm(results, **{"total": len(items), **bar})


@contextmanager
def ended_together() -> Iterator[None]:
    """While the block runs, a SIGTERM ends it as an interrupt would: what it started is ended, what it began undone."""
    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: the host's own handling stays
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
