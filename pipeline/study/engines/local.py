"""Steps of a study as processes: several chains at a time, what is done skipped, what was killed gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.claims import claimed
from pipeline.files.receipts import digest_of
from pipeline.gpus import gpu_count
from pipeline.study.engines.watch import Watch, clock, remaining
from pipeline.study.shell import line
from pipeline.study.step import Step


class Runner:
    """Runs steps as processes: several chains at a time, one process a chain."""

    def __init__(self, jobs: int | None) -> None:
        gpus = gpu_count()
        self.gpus = gpus
        self.jobs = max(jobs or (gpus or cores()), 1)
        self.total = self.finished = 0
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = False
        self.told: set[str] = set()  # steps that others work on
        self.watch = Watch()
        self.waiting: list[str] = []  # steps of all chains that are not through
        self.took: list[tuple[str, float]] = []  # those that were run here, with their seconds

    def run_all(self, chains: Sequence[list[Step]], inputs: str) -> None:
        """Run all chains; a failure stops its own chain, and is raised when the others are through.

        Args:
            chains: steps that rest on each other, one after the other.
            inputs: digest of what the first of each rests on.

        Raises:
            InputError: a step failed; names it, its last words and its log.
        """
        threads = max((cores()) // self.jobs, 1)
        self.waiting = [step.name for chain in chains for step in chain]
        failures = []
        with ThreadPoolExecutor(self.jobs) as pool:
            futures = [pool.submit(self.run_chain, chain, threads, inputs, i) for i, chain in enumerate(chains)]
            for future in as_completed(futures):
                try:
                    future.result()
                except InputError as error:
                    failures.append(str(error))
        if failures:
            raise InputError(f"{len(failures)} of {len(chains)} runs failed, the first: {failures[0]}")

    def run_chain(self, steps: Sequence[Step], threads: int, inputs: str, slot: int = 0) -> None:
        """Run steps one after the other, skipping those that are done; each rests on what those before it left."""
        for step in steps:
            if self.stopping:
                return
            if step.is_done(inputs):
                self._say(f"{step.name}: done before", step.name)
            else:
                with claimed(step.folder, partial(self._wait, step.name)) as works:
                    if step.is_done(inputs):
                        self._say(f"{step.name}: done by another process", step.name)
                    else:
                        self._run(step, threads, inputs, slot, works)
            if self.stopping:
                return
            inputs = digest_of([inputs, step.result()])

    def _wait(self, name: str, other: dict[str, Any]) -> None:
        """Somebody else works on a step: say so once, and look again in a moment."""
        if name not in self.told:
            self.told.add(name)
            print(f"{name}: process {other['pid']} on {other['host']} works on it; waiting", flush=True)
        if self.stopping:
            raise InputError(f"{name}: stopped while waiting")
        time.sleep(1)

    def _run(self, step: Step, threads: int, inputs: str, slot: int, works: Callable[[int], None]) -> None:
        step.start(inputs)
        log = step.folder / f"log.{step.name.split()[-1]}.txt"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        if self.gpus > 1:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        print(f"$ {line(step.command)}\n  log: {log}", flush=True)
        start, before = time.monotonic(), log.stat().st_size if log.is_file() else 0
        with self.watch.of(step.name, step.folder, log, before), log.open("ab") as out:
            status = self.call(step.command, works, stdout=out, stderr=subprocess.STDOUT, env=environment)
        if self.stopping:
            return
        if status:
            reason = _last_words(log, before)
            step.fail(reason, status)
            raise InputError(f"{step.name}: {reason} (exit status {status}; log: {log})")
        seconds = time.monotonic() - start
        step.finish(inputs, seconds)
        if step.name in self.waiting:
            self.took.append((step.name, seconds))
        self._say(f"{step.name}: {seconds:.0f} s", step.name)

    def call(self, command: Sequence[str], works: Callable[[int], None] | None = None, **options: Any) -> int:
        """Run a command that ends when the study is stopped; returns its exit status.

        Args:
            command: what is run.
            works: is told its process.
            options: of `subprocess.Popen`.
        """
        with self.lock:
            process = subprocess.Popen(command, start_new_session=True, **options)
            self.processes.add(process)
        try:
            if works is not None:
                works(process.pid)
            if self.stopping:  # asked for while it was started
                process.terminate()
            return process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            with self.lock:
                self.processes.discard(process)

    def _say(self, text: str, name: str) -> None:
        """A step is through; with what the others may take, once one of them was run."""
        with self.lock:
            self.finished += 1
            self.waiting = [other for other in self.waiting if other != name]
            left = remaining(self.took, self.waiting, self.jobs) if self.waiting else None
            steps = f"{len(self.waiting)} step{'s' if len(self.waiting) > 1 else ''}"
            more = f"; about {clock(left)} left for {steps}" if left is not None else ""
            print(f"[{self.finished}/{self.total}] {text}{more}", flush=True)

    @contextmanager
    def stopping_children(self) -> Iterator[None]:
        """While the block runs, an interrupt or a SIGTERM ends what it started; a later command goes on from there."""
        def stop(number: int, frame: Any) -> None:
            self.stopping = True
            for process in list(self.processes):
                process.terminate()
            raise KeyboardInterrupt

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _last_words(log: Path, begin: int) -> str:
    """What a step said last; the log's first bytes are of earlier tries."""
    text = log.read_bytes()[begin:].decode(errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no output"])[-1].removeprefix("error: ")[:300]


def cores() -> int:
    """Cores that this process may use, which under SLURM are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
