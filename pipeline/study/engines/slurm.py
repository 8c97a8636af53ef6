"""A study as SLURM jobs: one prepares, an array behind it runs a chain a task, one behind that combines and reports.

In front of them an array may prepare every so many-th exam a task; the one behind it finds these ready, prepares what
a task left undone, and writes the list.

Before its time is over a task is sent SIGUSR1: it stops its run, whose last epoch is on the disk, and asks SLURM to
put it into the queue again. A job that is cancelled gets a SIGTERM, and does not.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import InputError
from pipeline.study.engines.engine import Part

_CORES, _MEMORY = 8, 32  # GB, where nothing is said
_BEFORE = 120  # seconds before a job's end in which a run is stopped
_ARRAYS = ("exams", "chains")  # parts that are a task a chain
_TASK = "SLURM_ARRAY_TASK_ID"
_MOST_RESTARTS = 50  # of a task that never gets an epoch done within its time
_COLUMN = re.compile(r"^(sbatch|scontrol): (error: )?", re.MULTILINE)


class Slurm:
    """The engine that submits jobs and leaves.

    Args:
        options: for every sbatch, as a shell takes them; behind ours, so that they win.
        out: the study's folder; what jobs print goes into its `slurm`.
    """

    def __init__(self, options: Sequence[str], out: Path) -> None:
        try:
            self.options = [word for text in options for word in shlex.split(text)]
        except ValueError as error:
            raise InputError(f"--slurm: {error}; quote the options as a shell takes them") from None
        self.out = out

    def lines(self, parts: Sequence[Part]) -> list[str]:
        """A script that submits it all."""
        said = []
        for part, behind, words in self._jobs(parts):
            after = f'--dependency={behind[0]}:"${behind[1]}"' if behind else ""
            typed = [shlex.join(words[:-1]), *([after] if after else []), shlex.quote(words[-1])]
            said.append(f'{part.name}=$({" ".join(typed)})')
        return said

    def run(self, parts: Sequence[Part]) -> int:
        """Submit it all, or nothing."""
        numbers: dict[str, str] = {}
        (self.out / "slurm").mkdir(parents=True, exist_ok=True)  # sbatch makes no folders
        for part, behind, words in self._jobs(parts):
            after = [f"--dependency={behind[0]}:{numbers[behind[1]]}"] if behind else []
            try:
                numbers[part.name] = _submit([*words[:-1], *after, words[-1]])
            except InputError:
                for number in numbers.values():
                    subprocess.run(["scancel", number], capture_output=True, check=False)
                raise
            count = len(part.todo)
            tasks = f", {count} task{'s' if count > 1 else ''}" if part.name in _ARRAYS else ""
            print(f"{part.name}: job {numbers[part.name]}{tasks}", flush=True)
        print(f"submitted; what the jobs print goes to {self.out / 'slurm'}; the same command with --status instead of "
              "--engine tells how far they are")
        return 0

    def _jobs(self, parts: Sequence[Part]) -> list[tuple[Part, tuple[str, str] | None, list[str]]]:
        """Each part with the kind of its dependency and on whom, and its sbatch without that."""
        *first, prepare, chains, combine = parts
        jobs: list[tuple[Part, tuple[str, str] | None, list[str]]] = [
            (exams, None, self._sbatch(exams, _task(exams), _CORES)) for exams in first]
        jobs.append((prepare, ("afterany", "exams") if first else None,
                     self._sbatch(prepare, f"exec {shlex.join(prepare.command('0'))}", _CORES)))
        if chains.todo:
            jobs.append((chains, ("afterok", "prepare"), self._sbatch(chains, _task(chains), _CORES)))
        report = shlex.join([sys.executable, "-m", "pipeline", "report", str(self.out)])
        words = f"{shlex.join(combine.command('0'))} && {report}"
        behind = ("afterany", "chains") if chains.todo else ("afterok", "prepare")
        jobs.append((combine, behind, self._sbatch(combine, words, 1)))
        return jobs

    def _sbatch(self, part: Part, words: str, cores: int) -> list[str]:
        gpus = part.needs.processes if part.needs.gpus is None else part.needs.gpus
        array = part.name in _ARRAYS
        output = self.out.absolute() / "slurm" / (f"{part.name}-%A_%a.txt" if array else f"{part.name}-%j.txt")
        return ["sbatch", "--parsable", f"--job-name=breast-bundles-{part.name}", "--nodes=1", "--ntasks=1",
                f"--cpus-per-task={part.needs.cores or cores}", f"--mem={part.needs.memory or _MEMORY}G",
                *([f"--gres=gpu:{gpus}"] if gpus else []), *([f"--array={_numbers(part.todo)}"] if array else []),
                f"--chdir={Path.cwd()}", f"--output={output}", "--open-mode=append", "--requeue",
                f"--signal=B:USR1@{_BEFORE}", "--kill-on-invalid-dep=yes", *self.options, f"--wrap={words}"]


def _task(part: Part) -> str:
    """What a task of an array runs; in single quotes the shell of the job would not fill in its number."""
    return f"exec {shlex.join(part.command(_TASK)).replace(_TASK, f'${_TASK}')}"


def requeue() -> None:
    """Put the job that this process is into the queue again, when its time is nearly over."""
    job, restarts = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
    if "SLURM_ARRAY_JOB_ID" in os.environ:  # the number of one task is that of the whole array, too
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ[_TASK]}"
    if restarts.isdecimal() and int(restarts) >= _MOST_RESTARTS:
        raise InputError(f"this job was begun {restarts} times and is not done; give it more time (--slurm '--time=…')")
    print(f"the time of job {job} is nearly over: it goes back into the queue", flush=True)
    _ask(["scontrol", "requeue", job], "submit the study again, what is done is skipped")


def _submit(words: Sequence[str]) -> str:
    """Submit a job; returns its number."""
    remedy = "correct --slurm (partition, account, time), --cores, --memory or --gpus"
    return _ask(words, remedy).strip().partition(";")[0]


def _ask(words: Sequence[str], remedy: str) -> str:
    try:
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(f"{words[0]}: not found; run this where SLURM's commands are, or leave --engine slurm out "
                         "(--print shows what it would submit)") from None
    if ended.returncode:
        said = [line for line in _COLUMN.sub("", ended.stderr).splitlines() if line.strip()]
        raise InputError(f"{words[0]}: {said[-1] if said else f'exit status {ended.returncode}'}; {remedy}")
    return ended.stdout


def _numbers(which: Sequence[int]) -> str:
    """`0-3,7` for 0, 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for number in which:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)
