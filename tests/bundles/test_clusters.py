"""A study on SLURM and on dask, with jobs and workers that end before their time: bit by bit what one machine makes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from commands import ROOT, ok
from one_node_slurm import found, one_node

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SMALL = "cases_per_epoch: 4\nworkers: 0\nprecision: fp32\nval_interval: 1\nmax_epochs: 80\n"
RUNS = [f"naive_1e-4/fold{fold}" for fold in (0, 1)]


def words(cohort: Path, folder: Path, *more: object) -> list[str]:
    small = cohort / "small.yaml"
    small.write_text(SMALL)
    return list(map(str, ["study", "bundles/breast_mri_curriculum", "--datalist", cohort / "list.json", "--out", folder,
                          "--preset", "demo", "--folds", "2", "--variants", "naive_1e-4", "--cores", "1", "--overlay",
                          small, *more]))


def study(*given: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", *given], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, **(environment or {})})


def results(folder: Path, runs: list[str]) -> tuple[list[bytes], list[dict[str, torch.Tensor]]]:
    return ([(folder / run / "predictions.csv").read_bytes() for run in runs],
            [torch.load(folder / run / "breasts" / "model.pt") for run in runs])


def demand_equal(found: Path, wanted: Path, runs: list[str]) -> None:
    (tables, weights), (known, others) = results(found, runs), results(wanted, runs)
    assert tables == known
    for one, other in zip(weights, others, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert not [path for path in found.rglob(".*") if path.name.endswith(".part") or path.name.startswith(".claim")]


def wait_for(ready: Callable[[], bool], seconds: float, told: Callable[[], str] = str) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, told()
        time.sleep(0.5)


def epochs(folder: Path, run: str) -> int:
    history = folder / run / "breasts" / "history.csv"
    return len(history.read_text().splitlines()) - 1 if history.is_file() else 0


@pytest.fixture(scope="module")
def cohort(_written_phantom, tmp_path_factory) -> Path:
    return Path(shutil.copytree(_written_phantom, tmp_path_factory.mktemp("clusters") / "cohort"))


@pytest.fixture(scope="module")
def one_machine(cohort, tmp_path_factory) -> Path:
    """The study as one machine makes it."""
    folder = tmp_path_factory.mktemp("one") / "run"
    ok(study(*words(cohort, folder, "--jobs", "2")))
    return folder


@pytest.mark.skipif(found() is not None, reason=f"SLURM is not installed ({found()}); apt-get install slurm-wlm munge")
def test_slurm_with_a_job_that_hits_its_limit_and_is_requeued_by_hand_later(cohort, one_machine, tmp_path) -> None:
    """With a signal a minute before the end of a job of one minute it is stopped soon, and asks to be queued again."""
    folder = tmp_path / "run"
    with one_node(tmp_path / "slurm") as environment:
        def slurm(*command: str) -> None:
            subprocess.run(command, env=environment, check=True)

        said = ok(study(*words(cohort, folder, "--folds", "1", "--engine", "slurm", "--gpus", "0", "--memory", "1",
                               "--slurm", "--time=1 --signal=B:USR1@60"), environment=environment))
        numbers = dict(line.split(": job ") for line in said.splitlines() if ": job " in line)
        chains = numbers["chains"].partition(",")[0]

        def printed() -> str:
            return "".join(path.read_text() for path in (folder / "slurm").glob("*"))

        wait_for(lambda: f"the time of job {chains}_0 is nearly over: it goes back" in printed(), 600, printed)
        slurm("scontrol", "update", f"JobId={chains}_0", "TimeLimit=60")
        wait_for(lambda: "running  on" in study(*words(cohort, folder, "--status")).stdout, 600, printed)
        slurm("scontrol", "requeue", f"{chains}_0")  # as an administrator may, or a node that dies
        wait_for(lambda: (folder / "report.html").is_file(), 1000, printed)
    assert "DUE TO JOB REQUEUE" in printed()
    demand_equal(folder, one_machine, RUNS[:1])
    status = study(*words(cohort, folder, "--folds", "1", "--status")).stdout
    assert "3 of 3 steps done, 0 running, 0 failed, 0 to do" in status


@contextmanager
def dask_cluster(folder: Path, workers: int = 2, **environment: str) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A scheduler and workers as processes of their own; gives the address and the workers."""
    folder.mkdir()
    where = folder / "scheduler.json"
    given = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}

    def begin(*said: object) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{said[0]}", *map(str, said[1:])]
        return subprocess.Popen(command, env=given, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                start_new_session=True)

    begun = [begin("dask_scheduler", "--port", 0, "--no-dashboard", "--scheduler-file", where, "--host", "127.0.0.1")]
    try:
        wait_for(where.is_file, 60)
        address = json.loads(where.read_text())["address"]
        begun += [begin("dask_worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard", "--name", f"w{i}",
                        "--local-directory", folder / f"w{i}") for i in range(workers)]
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=90)
        yield address, begun[1:]
    finally:
        for process in begun:
            with_its_own(process, signal.SIGKILL)


def with_its_own(process: subprocess.Popen, number: int) -> None:
    """Send a signal to a process and all that it began."""
    import psutil

    try:
        own = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    for each in [process, *own]:
        with suppress(ProcessLookupError):
            os.kill(each.pid, number)
    process.wait()


def test_dask_with_a_worker_that_is_killed_in_the_middle(cohort, one_machine, tmp_path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    folder = tmp_path / "run"
    with dask_cluster(tmp_path / "dask") as (address, workers):
        running = subprocess.Popen([sys.executable, "-m", "pipeline", *words(cohort, folder, "--engine", "dask",
                                                                           "--scheduler", address)], cwd=ROOT,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_for(lambda: all(epochs(folder, run) > 1 for run in RUNS) or running.poll() is not None, 400)
        with_its_own(workers[0], signal.SIGKILL)
        said, _ = running.communicate(timeout=900)
    assert running.returncode == 0, said
    assert "[2/2] naive_1e-4 fold" in said
    demand_equal(folder, one_machine, RUNS)
    one, other = ((each / "prepared" / "prepared.json").read_text() for each in (folder, one_machine))
    assert json.loads(one)["digest"] == json.loads(other)["digest"]


def test_workers_that_cannot_take_part(cohort, tmp_path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    installed = tmp_path / "other" / "breast_bundles-9.0.1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: breast-bundles\nVersion: 9.0.1.0\n")
    with dask_cluster(tmp_path / "dask", 1, PYTHONPATH=f"{installed.parent}:{ROOT}") as (address, _):
        ended = study(*words(cohort, tmp_path / "run", "--engine", "dask", "--scheduler", address))
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert "worker w0 at tcp://" in ended.stderr and "has breast-bundles 9.0.1.0, here it is 0.1.0" in ended.stderr
