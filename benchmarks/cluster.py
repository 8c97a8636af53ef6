"""Beyond one process: exams prepared by one and two workers, local and dask's, and a large study seen to be done.

`python benchmarks/cluster.py [--exams 40] [--small 10,100,1000] [--folder FOLDER]` measures and puts its section into
RESULTS.md. Drawing the exams takes longer than preparing them: a folder keeps them for the next time.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import measure
import psutil

from pipeline import datalist

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

BUNDLE = "bundles/breast_mri_curriculum"
_DRAWN = 100  # small exams
STUDY, FOLDS = "bundles/breast_mri_transfer", 5  # 35 subsets: 350 steps and the preparation
# Runs in a process of its own: warms its workers up with two small exams, then says how long the list took.
PREPARE = """
import sys, time
from pathlib import Path
from pipeline.breast_mri.breasts import BREASTS
from pipeline.prepare.run import run
from transforms import LoadBreastsd
full, small, out, workers, scheduler = sys.argv[1:]
channels = ["pre", "post1", "post2", "post3", "post4", "t2"]
def prepared(listed, folder, matrix, rows):
    start = time.perf_counter()
    run(listed, folder, BREASTS, LoadBreastsd("image", channels=channels, matrix=matrix, rows=rows),
        int(workers), scheduler or None)
    return time.perf_counter() - start
prepared(small, out + "/warm", [128, 128, 8], 64)
print("warm", flush=True)
sys.stdin.readline()
print(prepared(full, out + "/full", *([[128, 128, 8], 64] if "tiny" in out else [[512, 512, 32], 256])))
"""


class Watched:
    """What processes take while the block runs: seconds of the processor together, and the most memory of one."""

    def __init__(self, roots: Sequence[int]) -> None:
        self.roots = roots
        self.seconds = self.peak = 0.0
        self.last: dict[int, float] = {}
        self.ended = threading.Event()

    def __enter__(self) -> Watched:
        self.look()
        self.before = sum(self.last.values())
        self.thread = threading.Thread(target=self.keep_looking, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()
        self.look()
        self.seconds = sum(self.last.values()) - self.before

    def keep_looking(self) -> None:
        while not self.ended.wait(0.1):
            self.look()

    def look(self) -> None:
        for root in self.roots:
            try:
                every = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            for process in every:
                try:
                    spent = process.cpu_times()
                    self.last[process.pid] = spent.user + spent.system
                    self.peak = max(self.peak, process.memory_info().rss / measure.MEGABYTE)
                except psutil.NoSuchProcess:
                    continue


def report(folder: Path, kept: Path, exams: int, small: Sequence[int]) -> list[str]:
    """Measure, with drawn exams in `kept`; returns Markdown."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    full, drawn = _cohort(kept, "full", exams), _cohort(kept, "demo", _DRAWN)
    listed = {n: _repeated(drawn, n) for n in small}
    warm = listed[min(small)]
    rows: list[list[str]] = []
    alone: dict[str, float] = {}
    for workers in (1, 2):
        for way in ("local", "dask"):
            wall, spent, peak = _prepare(folder, f"{way}{workers}", full, warm, workers, way == "dask")
            alone.setdefault(way, wall)
            rows.append([way, str(workers), f"{wall / exams:.2f}", f"{alone[way] / workers / wall:.0%}",
                         f"{spent / exams:.2f}", f"{peak:,.0f}"])
    tiny = []
    for n in small:
        wall, spent, peak = _prepare(folder, f"tiny{n}", listed[n], warm, 2, False)
        tiny.append([str(n), f"{wall / n * 1e3:.0f}", f"{spent / n * 1e3:.0f}", f"{peak:,.0f}"])
    steps, seen, listed = _done(folder)
    return [
        "## Beyond one process", "",
        f"{exams} synthetic exams of full size prepared by workers that are warm. The share of the ideal is that of",
        "as many workers as fast as one; where others want the same cores, seconds of the processor say more than",
        "those on the wall. MB are the most that one process took.", "",
        *measure.table(["workers are", "workers", "s an exam", "share of the ideal", "processor s an exam", "peak MB"],
                       rows),
        f"Small exams, two local workers; they are {_DRAWN} drawn ones, linked as often as it takes:", "",
        *measure.table(["exams", "ms an exam", "processor ms an exam", "peak MB"], tiny),
        f"A study of {steps} steps that are all done: begun, seen to be done and ended in {seen[0]:.1f} s "
        f"({seen[1]:.1f} s of the", f"processor); listed by `--status` in {listed[0]:.1f} s ({listed[1]:.1f} s).", "",
        f"Other processes kept {_others:.1f} of {os.cpu_count()} cores busy before it began.", "",
    ]


_others = 0.0


def _cohort(folder: Path, preset: str, exams: int) -> Path:
    from data_lists.__main__ import main as convert
    from pipeline.phantoms.breast_mri.exams import write_cohort

    where = folder / f"{preset}{exams}"
    if not (where / "list.json").is_file():
        write_cohort(where, preset, exams=exams, workers=2, progress=False)
        status = convert(["csv", str(where / "exams.csv"), "--lesions", str(where / "lesions.csv"), "--folds", "2",
                          "-o", str(where / "list.json")])
        assert not status, where
    return where / "list.json"


def _repeated(drawn: Path, exams: int) -> Path:
    """A list of so many exams: the drawn ones in turn, under other names."""
    source = datalist.load(drawn)
    where = drawn.parent / f"repeated{exams}"
    every = []
    for i, exam in enumerate(itertools.islice(itertools.cycle(source.exams), exams)):
        images = {name: f"N{i}/{Path(path).name}" for name, path in exam.images.items()}
        (where / f"N{i}").mkdir(parents=True, exist_ok=True)
        for name, path in images.items():
            if not (where / path).exists():
                os.link(source.path(exam, name), where / path)
        every.append(replace(exam, exam_id=f"N{i}", patient_id=f"N{i}", images=images))
    datalist.save(replace(source, root=where, exams=every), where / "list.json")
    return where / "list.json"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _prepare(folder: Path, name: str, listed: Path, warm: Path, workers: int, dask: bool) -> tuple[float, float, float]:
    """Seconds on the wall and of the processor, and the most memory of a process in MB."""
    with ExitStack() as running:
        address, pids = running.enter_context(_dask(folder / name, workers)) if dask else ("", [])
        process = running.enter_context(subprocess.Popen(
            [sys.executable, "-c", PREPARE, str(listed), str(warm), str(folder / name), str(workers), address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment()))
        assert process.stdin is not None and process.stdout is not None
        while (said := process.stdout.readline()) != "warm\n":
            assert said, "it ended before it was warm, see above"
        with Watched([process.pid, *pids]) as watched:
            process.stdin.write("\n")
            process.stdin.flush()
            seconds = process.stdout.read().split()[-1]
    shutil.rmtree(folder / name)  # what one has written would make the kernel work for the next
    return float(seconds), watched.seconds, watched.peak


@contextmanager
def _dask(folder: Path, workers: int) -> Iterator[tuple[str, list[int]]]:
    """A scheduler and workers, each a process with one thread."""
    import dask
    from distributed import LocalCluster

    # As the how-to has it: a nanny asks malloc to give back every 64 kB, for which exams take half as long again. It
    # leaves the variable behind, so that local workers after it were slow, too.
    dask.config.set({"distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1}})
    folder.mkdir(parents=True, exist_ok=True)
    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
                      local_directory=str(folder), memory_limit=0) as cluster:
        yield cluster.scheduler_address, [nanny.pid for nanny in cluster.workers.values()]


def _done(folder: Path) -> tuple[int, tuple[float, float], tuple[float, float]]:
    from done_study import words_of, write_done

    steps = write_done(folder / "done", STUDY, FOLDS)
    command = [sys.executable, "-m", "pipeline", "study", *words_of(folder / "done", STUDY, FOLDS)]
    _timed(command)  # writes the study's record, which the first command after the last step does
    return steps, _timed(command), _timed([*command, "--status"])


def _timed(command: Sequence[str]) -> tuple[float, float]:
    """Seconds on the wall and of the processor."""
    before, start = os.times(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=_environment(), check=True, stdout=subprocess.DEVNULL)
    after: Any = os.times()
    return time.perf_counter() - start, (after.children_user + after.children_system - before.children_user
                                         - before.children_system)


def main() -> None:
    """Measure, and replace the section."""
    import run

    global _others
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exams", type=int, default=40, help="of full size (40)")
    parser.add_argument("--folder", type=Path, help="where drawn exams are kept (default: a new one, removed then)")
    parser.add_argument("--small", default="10,100,1000", help="numbers of small exams (10,100,1000)")
    options = parser.parse_args()
    _others = psutil.cpu_percent(interval=2) / 100 * (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory() as folder:
        lines = report(Path(folder), options.folder or Path(folder), options.exams,
                       [int(n) for n in options.small.split(",")])
    print("\n".join(lines))
    run.RESULTS.write_text(run._replaced(run.RESULTS.read_text(), "\n".join(lines), 1))


if __name__ == "__main__":
    main()
