"""Steps of a study as processes: several chains at a time, what is done skipped, what was killed gone on with."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.atomic import write_json, write_text

DONE = "done.json"
INPUTS = ".inputs"  # digest of what a step was started with
RESUME = "resume.pt"  # of `pipeline.training.run_state.RunState`


@dataclass
class Step:
    """One command of the study."""

    name: str
    folder: Path
    command: list[str]

    def state(self, inputs: str) -> str:
        """`done`, or `open`: a step is done when the same command has ended well with the same inputs."""
        try:
            done = json.loads((self.folder / DONE).read_text())
            return "done" if (done["command"], done["inputs"]) == (self.command, inputs) else "open"
        except (OSError, ValueError, KeyError):
            return "open"

    def start(self, inputs: str, afresh: bool) -> None:
        """Make the folder; what an earlier run left to go on from stays only where its inputs were the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).unlink(missing_ok=True)
        note = self.folder / INPUTS
        if afresh or not note.is_file() or note.read_text() != inputs:
            (self.folder / RESUME).unlink(missing_ok=True)
            write_text(note, inputs)


class Runner:
    """Runs steps as processes: several chains at a time, one process a chain."""

    def __init__(self, jobs: int | None) -> None:
        gpus = _gpu_count()
        self.gpus = gpus
        self.jobs = max(jobs or (gpus or cores()), 1)
        self.total = self.finished = 0
        self.lock = threading.Lock()
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.stopping = False

    def run_all(self, chains: Sequence[list[Step]], inputs: str) -> None:
        """Run all chains; a failure stops its own chain, and is raised when the others are through.

        Raises:
            InputError: a step failed; names it, its last words and its log.
        """
        threads = max((cores()) // self.jobs, 1)
        failures = []
        with ThreadPoolExecutor(self.jobs) as pool, self._stop_children_on_signals():
            futures = [pool.submit(self.run_chain, chain, threads, inputs, i) for i, chain in enumerate(chains)]
            for future in as_completed(futures):
                try:
                    future.result()
                except InputError as error:
                    failures.append(str(error))
        if failures:
            raise InputError(f"{len(failures)} of {len(chains)} runs failed, the first: {failures[0]}")

    def run_chain(self, steps: Sequence[Step], threads: int, inputs: str, slot: int = 0) -> None:
        """Run steps one after the other, skipping those that are done; after one that ran, none is."""
        ran = False
        for step in steps:
            if self.stopping:
                return
            if not ran and step.state(inputs) == "done":
                self._say(f"{step.name}: done before")
                continue
            step.start(inputs, afresh=ran)
            self._run(step, threads, inputs, slot)
            ran = True

    def _run(self, step: Step, threads: int, inputs: str, slot: int) -> None:
        log = step.folder / f"log.{step.name.split()[-1]}.txt"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
        if self.gpus > 1:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        print("$ " + shlex.join(["python", *step.command[1:]]), flush=True)
        start = time.monotonic()
        with log.open("ab") as out:
            process = subprocess.Popen(step.command, stdout=out, stderr=subprocess.STDOUT, env=environment,
                                       start_new_session=True)
            with self.lock:
                self.processes.add(process)
            status = process.wait()
            with self.lock:
                self.processes.discard(process)
        if self.stopping:
            return
        if status:
            raise InputError(f"{step.name}: {_last_words(log)} (exit status {status}; log: {log})")
        seconds = round(time.monotonic() - start, 1)
        write_json(step.folder / DONE, {"command": step.command, "inputs": inputs, "seconds": seconds})
        self._say(f"{step.name}: {seconds:.0f} s")

    def _say(self, text: str) -> None:
        with self.lock:
            self.finished += 1
            print(f"[{self.finished}/{self.total}] {text}", flush=True)

    def _stop_children_on_signals(self) -> Any:
        runner = self

        class Handlers:
            def __enter__(self) -> None:
                self.before = {s: signal.signal(s, self.stop) for s in (signal.SIGINT, signal.SIGTERM)}

            def __exit__(self, *error: object) -> None:
                for number, handler in self.before.items():
                    signal.signal(number, handler)

            def stop(self, number: int, frame: Any) -> None:
                runner.stopping = True
                for process in list(runner.processes):
                    process.terminate()
                raise KeyboardInterrupt

        return Handlers()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["no output"])[-1].removeprefix("error: ")[:300]


def cores() -> int:
    """Cores that this process may use, which under SLURM are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu_count() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(listed.stdout.strip().splitlines())
