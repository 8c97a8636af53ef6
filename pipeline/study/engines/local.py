"""Steps of a study as processes: several chains at a time, what is done skipped, what was killed gone on with."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from pipeline.errors import InputError, one_line
from pipeline.files.claims import STALE, Claim, claimed
from pipeline.files.receipts import digest_of
from pipeline.gpus import gpus
from pipeline.processes import cores
from pipeline.study.engines.engine import Part
from pipeline.study.engines.watch import Watch, clock, last_words, remaining
from pipeline.study.shell import line
from pipeline.study.step import Step


class Local:
    """The engine that does a study in this process.

    Args:
        work: does it, and returns an exit status.
    """

    def __init__(self, work: Callable[[], int]) -> None:
        self.work = work

    def lines(self, parts: Sequence[Part]) -> list[str]:
        """The steps' own commands, in the order in which one process would run them."""
        return [line(step.command) for part in parts for chain in part.chains for step in chain]

    def run(self, parts: Sequence[Part]) -> int:
        return self.work()


class Runner:
    """Runs steps as processes: several chains at a time, one process a chain.

    Args:
        jobs: chains at a time; None: one a GPU, or one a core; where several processes train, one for as many.
        threads: of each chain; None: the cores, shared out.
        retry: how many times a step that fails is tried again.
        processes: that train together, each on its GPU.
    """

    def __init__(self, jobs: int | None, threads: int | None = None, retry: int = 0, processes: int = 1) -> None:
        self.gpus = gpus()
        self.together = processes
        self.jobs = max(jobs or (len(self.gpus) or cores()) // processes, 1)
        self.threads = threads
        self.retry = retry
        self.total = self.finished = 0
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = self.time_is_over = False
        self.told: set[str] = set()  # steps that others work on
        self.through: set[str] = set()  # steps that were said to be done
        self.watch = Watch()
        self.waiting: list[str] = []  # steps of all chains that are not through
        self.took: list[tuple[str, float]] = []  # those that were run here, with their seconds

    def demand_gpus(self) -> None:
        """Raise `InputError` where there are GPUs, but fewer than processes that train together."""
        if 0 < len(self.gpus) < self.together:
            raise InputError(f"--processes {self.together}: a process takes a GPU, and this machine has "
                             f"{len(self.gpus)}; give as many at most")

    def run_all(self, chains: Sequence[list[Step]], inputs: str) -> None:
        """Run all chains; a failure stops its own chain, and is raised when the others are through.

        A chain that another runner works on is put behind all others: it is waited for when nothing else is left.

        Args:
            chains: steps that rest on each other, one after the other.
            inputs: digest of what the first of each rests on.

        Raises:
            InputError: a step failed; names it, its last words and its log.
        """
        self.waiting = [step.name for chain in chains for step in chain]
        queue, failures = deque(chains), list[str]()
        threads = self.threads or max(cores() // self.jobs, 1)

        def work(slot: int) -> None:
            turned_away = 0  # chains in a row that others work on
            while not self.stopping:
                with self.lock:
                    if not queue:
                        return
                    chain = queue.popleft()
                try:
                    self.run_chain(chain, threads, inputs, slot, patient=False)
                    turned_away = 0
                except _Elsewhere:
                    with self.lock:
                        queue.append(chain)
                        turned_away += 1
                        nothing_else = turned_away >= len(queue)
                    if nothing_else:
                        time.sleep(1)
                except InputError as error:
                    failures.append(str(error))

        with ThreadPoolExecutor(self.jobs) as pool:
            for ended in [pool.submit(work, slot) for slot in range(self.jobs)]:
                ended.result()
        if failures:
            raise InputError(f"{len(failures)} of {len(chains)} runs failed, the first: {failures[0]}")

    def run_chain(self, steps: Sequence[Step], threads: int, inputs: str, slot: int = 0, patient: bool = True) -> None:
        """Run steps one after the other, skipping those that are done; each rests on what those before it left.

        Args:
            steps: a chain's.
            threads: of each.
            inputs: digest of what the first rests on.
            slot: which GPU, where there are several.
            patient: wait where another runner works on a step, else leave the chain at once.

        Raises:
            InputError: a step failed.
        """
        for step in steps:
            if self.stopping:
                return
            if step.is_done(inputs):
                self._say(f"{step.name}: done before", step.name)
            else:
                self._claim_and_run(step, threads, inputs, slot, patient)
            if self.stopping:
                return
            inputs = digest_of([inputs, step.result()])

    def _claim_and_run(self, step: Step, threads: int, inputs: str, slot: int, patient: bool) -> None:
        lost = threading.Event()
        own: list[subprocess.Popen[bytes]] = []

        def stop() -> None:
            lost.set()
            for process in own:
                process.terminate()

        with claimed(step.folder, partial(self._wait, step.name, patient), stop) as claim:
            if step.is_done(inputs):
                self._say(f"{step.name}: done by another process", step.name)
                return
            for tries_left in range(self.retry, -1, -1):
                try:
                    self._run(step, threads, inputs, slot, claim, own)
                    break
                except (InputError, OSError) as error:  # OSError: no place for its log
                    if lost.is_set() or (not self.stopping and not claim.is_ours()):
                        raise InputError(f"{step.name}: another runner took it over, since this one gave no sign of "
                                         f"life for {clock(STALE)}; stopped here") from None
                    if not tries_left:
                        raise InputError(one_line(error) or f"{step.name}: {error}") from None
                    print(f"{one_line(error) or error}; again, {tries_left} of {self.retry} tries left", flush=True)

    def _wait(self, name: str, patient: bool, other: dict[str, Any]) -> None:
        """Somebody else works on a step: say so once, and look again in a moment."""
        if name not in self.told:
            self.told.add(name)
            print(f"{name}: process {other['pid']} on {other['host']} works on it; "
                  + ("waiting" if patient else "other steps first"), flush=True)
        if not patient:
            raise _Elsewhere
        if self.stopping:
            raise InputError(f"{name}: stopped while waiting")
        time.sleep(1)

    def _run(self, step: Step, threads: int, inputs: str, slot: int, claim: Claim,
             own: list[subprocess.Popen[bytes]]) -> None:
        step.start(inputs)
        log = step.folder / f"log.{step.name.split()[-1]}.txt"
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(threads // step.processes, 1)), "PYTHONUNBUFFERED": "1"}
        if len(self.gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._own_gpus(slot))
        print(f"$ {line(step.command)}\n  log: {log}", flush=True)
        start, before = time.monotonic(), log.stat().st_size if log.is_file() else 0
        with self.watch.of(step.name, step.folder, log, before) as running, log.open("ab") as out:
            def begun(process: subprocess.Popen[bytes]) -> None:
                own[:] = [process]
                claim.works(process.pid, **running.about())

            status = self.call(step.command, begun, stdout=out, stderr=subprocess.STDOUT, env=environment)
        if self.stopping:
            return
        if not claim.is_ours():
            raise InputError(f"{step.name}: taken over")
        if status:
            reason = last_words(log, before)
            with suppress(InputError):  # on a full disk what went wrong is said all the same
                step.fail(reason, status)
            raise InputError(f"{step.name}: {reason} (exit status {status}; log: {log})")
        seconds = time.monotonic() - start
        step.finish(inputs, seconds)
        if step.name in self.waiting:
            self.took.append((step.name, seconds))
        self._say(f"{step.name}: {seconds:.0f} s", step.name)

    def _own_gpus(self, slot: int) -> list[str]:
        """Those of one of the chains that run at a time, as many as processes train together."""
        begin = slot % max(len(self.gpus) // self.together, 1) * self.together
        return self.gpus[begin:begin + self.together]

    def call(self, command: Sequence[str], begun: Callable[[subprocess.Popen[bytes]], None] | None = None,
             **options: Any) -> int:
        """Run a command that ends when the study is stopped; returns its exit status.

        Args:
            command: what is run.
            begun: is told its process.
            options: of `subprocess.Popen`.
        """
        with self.lock:
            process = subprocess.Popen(command, start_new_session=True, **options)
            self.processes.add(process)
        try:
            if begun is not None:
                begun(process)
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
            if name in self.through:  # a chain that was left to another runner for a while
                return
            self.through.add(name)
            self.finished += 1
            self.waiting = [other for other in self.waiting if other != name]
            left = remaining(self.took, self.waiting, self.jobs) if self.waiting else None
            steps = f"{len(self.waiting)} step{'s' if len(self.waiting) > 1 else ''}"
            more = f"; about {clock(left)} left for {steps}" if left is not None else ""
            print(f"[{self.finished}/{self.total}] {text}{more}", flush=True)

    @contextmanager
    def stopping_children(self) -> Iterator[None]:
        """While the block runs, an interrupt or a SIGTERM ends what it started; a later command goes on from there.

        In a SLURM job a SIGUSR1 does so too, by which SLURM is asked to say that its time is nearly over.
        """
        def stop(number: int, frame: Any) -> None:
            self.stopping = True
            self.time_is_over = number == signal.SIGUSR1
            for process in list(self.processes):
                process.terminate()
            raise KeyboardInterrupt

        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Elsewhere(Exception):
    """Another runner works on a chain's next step."""
