"""Work shared between processes of this machine, and their common end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm


def shared(work: Callable[..., Any], items: Sequence[Any], *arguments: Any, workers: int | None = None,
           **bar: Any) -> Iterator[Any]:
    """Results of `work(item, *arguments)` in the order in which they are ready, under a progress bar.

    A SIGTERM, an interrupt or an error ends the workers too.

    Args:
        work: importable by name, as other processes need it.
        items: what is worked on.
        arguments: the same for all.
        workers: processes; default: one a core.
        bar: options of tqdm.
    """
    jobs = min(workers or os.cpu_count() or 1, max(len(items), 1))
    with ended_together():
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
