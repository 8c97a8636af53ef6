"""A study on a dask cluster: its chains are the workers' tasks; the preparation hands them its exams.

A worker runs the study's own command for one chain, as a process. A worker that dies takes its chain with it: the
scheduler gives that to another one, which goes on from the last epoch. Nothing but the shared folder passes between
them.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster import connected, workers_of
from pipeline.errors import InputError
from pipeline.processes import cores
from pipeline.study.engines.engine import Needs, Part
from pipeline.study.shell import line

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.study.engines.local import Runner

_GPU = "GPU"  # the resource that workers with one offer
_LOST = "workers died while they did it; see their logs (memory?), then run the same command again"


class Dask:
    """The engine that hands chains to the workers of a cluster.

    Args:
        address: of its scheduler.
        runner: what runs the other parts here.
        reads: what every worker must have at the same place.
        out: the study's folder, which they share.
    """

    def __init__(self, address: str, runner: Runner, reads: Sequence[Path], out: Path) -> None:
        self.address = address
        self.runner = runner
        self.reads = [Path.cwd(), *reads]
        self.out = out

    def lines(self, parts: Sequence[Part]) -> list[str]:
        """What is run here and by workers, in order."""
        return [line(part.command(str(i))) for part in parts for i in (part.todo if part.name == "chains" else [0])
                if part.chains]

    def run(self, parts: Sequence[Part]) -> int:
        """Run all; chains that fail keep nobody from combining others."""
        prepare, chains, combine = parts
        with connected(self.address, self.reads, [self.out]) as client:
            self._call(prepare)
            failures = self._run_chains(client, chains) if not self.runner.stopping else []
        self._call(combine)
        if failures:
            raise InputError(f"{len(failures)} of {len(chains.chains)} runs failed, the first: {failures[0]}")
        return 0

    def _call(self, part: Part) -> None:
        if not self.runner.stopping and self.runner.call(part.command("0")):
            raise InputError(f"{part.name}: failed, as said above; mend it, then run the same command again")

    def _run_chains(self, client: Client, part: Part) -> list[str]:
        """Have the chains run; returns what failed."""
        from distributed import Event, as_completed

        stop = f"breast-bundles-{secrets.token_hex(6)}"
        shares = _threads(client)
        gpus = self._gpus(client, part.needs)
        names = {i: _name(part.chains[i][0].name) for i in part.todo}
        print(f"dask: {len(names)} runs for {len(shares)} workers at {self.address}"
              + (f", {gpus} GPU each" if gpus else ""), flush=True)
        futures = {client.submit(do_chain, part.command(str(i))[1:], str(Path.cwd()), part.needs.cores or shares, stop,
                                 key=f"{stop}-{i}", pure=False, resources={_GPU: gpus} if gpus else None): i
                   for i in part.todo}
        failures: list[str] = []
        try:
            for done, future in enumerate(as_completed(futures, loop=client.loop), 1):
                reason = _reason(future)
                if reason:
                    failures.append(f"{names[futures[future]]}: {reason}")
                print(f"[{done}/{len(futures)}] {names[futures[future]]}: {reason or 'done'}", flush=True)
        except BaseException:
            Event(stop, client=client).set()  # runs save their last epoch and end
            client.cancel([future for future in futures if future.status == "pending"])
            raise
        return failures

    def _gpus(self, client: Client, needs: Needs) -> int:
        """GPUs that a chain asks of its worker: one a process, where workers offer any.

        Raises:
            InputError: more than any worker offers.
        """
        offered = max(int((told.get("resources") or {}).get(_GPU, 0)) for told in workers_of(client).values())
        asked = f"--processes {needs.processes}" if needs.gpus is None else f"--gpus {needs.gpus}"
        wanted = (needs.processes if offered else 0) if needs.gpus is None else needs.gpus
        if wanted > offered:
            raise InputError(f"{asked}: no worker at {self.address} offers as many GPUs; begin workers with "
                             f"`--resources \"{_GPU}={wanted}\"`")
        return wanted


def do_chain(words: Sequence[str], folder: str, threads: int | dict[str, int], stop: str) -> tuple[int, str]:
    """Run the study's command for one chain, on a worker; returns its exit status and its last words.

    Args:
        words: of the command, behind the interpreter.
        folder: where it is run.
        threads: of each run, or by the worker's address.
        stop: name of the event that ends it.
    """
    from distributed import Event, get_worker

    worker = get_worker()
    number = threads if isinstance(threads, int) else threads.get(worker.address, 1)
    process = subprocess.Popen([sys.executable, *words, "--cores", str(number)], cwd=folder, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ))
    stopped = Event(stop)
    said = None
    while said is None:
        try:
            said, _ = process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            if stopped.is_set():
                process.terminate()
    lines = [line for line in said.splitlines() if line.strip()]
    return process.returncode, ([line for line in lines if line.startswith("error: ")] or lines or [""])[-1]


def _reason(future: Any) -> str | None:
    """Why a chain failed; None where it did not."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        status, said = future.result()
    except (KilledWorker, FutureCancelledError):
        return _LOST
    except OSError as error:
        return f"{error.strerror or error}"
    return said.removeprefix("error: ") or f"exit status {status}" if status else None


def _threads(client: Client) -> dict[str, int]:
    """Threads of a run on each worker: the cores of its machine, shared between all that run there at a time."""
    found = client.run(cores)
    known = workers_of(client)
    at_a_time: Counter[str] = Counter()
    for told in known.values():
        at_a_time[told["host"]] += told["nthreads"]
    return {address: max(found[address] // at_a_time[told["host"]], 1) for address, told in known.items()
            if address in found}


def _name(step: str) -> str:
    """Of a step `curriculum fold 0 patches` its chain."""
    return step.rpartition(" ")[0]
