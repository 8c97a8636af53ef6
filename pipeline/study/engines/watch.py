"""What running steps are at: a live line each on a terminal, else a line a minute; what one said last; how long a study
may take."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pipeline.errors import InputError
from pipeline.files.tables import read_results

_BAR = re.compile(rb"(\d+)/(\d+) \[[^\]\r\n<]*<([\d:?]+)")  # of tqdm: done/all [elapsed<left, speed]
_EPOCHS = re.compile(r"^max_epochs: (\d+)$", re.MULTILINE)
_FOLD = re.compile(r" fold \d+\b")
_ERROR = re.compile(r"^(\[rank\d+\]: )?error: ")  # of one process, or of one of torchrun's
_TORCHRUN = re.compile(r"^E\d{4} .*failed \(exitcode.*", re.MULTILINE | re.DOTALL)  # its own words, behind theirs
_KILLED = re.compile(r"Root Cause.* rank +: (\d+).* traceback : (Signal \d+ \(\w+\))", re.DOTALL)
_TAIL = 4096  # bytes of a log that are looked at
_EVERY = 60.0  # seconds between lines where there is no terminal


@dataclass
class Running:
    """A step that runs.

    Attributes:
        name: as people read it.
        folder: where it works.
        log: where its output goes.
        offset: bytes in the log before it began.
        began: when, as of `time.monotonic`.
        epochs: how many epochs an earlier run had finished.
    """

    name: str
    folder: Path
    log: Path
    offset: int = 0
    began: float = field(default_factory=time.monotonic)
    epochs: int = 0

    def line(self, now: float | None = None) -> str:
        """Where it is: epoch of epochs with the last loss, or exam of exams; how long it takes and may still take."""
        spent = (time.monotonic() if now is None else now) - self.began
        words = [f"{self.name}:"] if self.name else []
        epoch, loss = self._history()
        if total := self._total():
            words.append(f"epoch {min(epoch + 1, total)} of at most {total},")
            if loss:
                words.append(f"{loss},")
        elif bar := self._bar():
            words.append(f"{bar[0]} of {bar[1]},")
        left = self.left(spent)
        words.append(f"{clock(spent)} so far" + (f", about {clock(left)} left" if left is not None else ""))
        return " ".join(words)

    def left(self, spent: float) -> float | None:
        """Seconds that it may still take after so many; None where that cannot be told."""
        if total := self._total():
            epoch, _ = self._history()
            return spent / (epoch - self.epochs) * (total - epoch) if epoch > self.epochs else None
        return (self._bar() or (0, 0, None))[2]

    @classmethod
    def told(cls, name: str, folder: Path, holder: Mapping[str, Any]) -> Running:
        """A step that some process of this or another host works on, by what its claim tells."""
        since, now = float(holder.get("since", time.time())), time.time()
        return cls(name, folder, folder / str(holder.get("log", "log")), int(holder.get("offset", 0)),
                   time.monotonic() - max(now - since, 0), int(holder.get("epochs", 0)))

    def about(self) -> dict[str, Any]:
        """What a claim tells of it, for `told`."""
        return {"since": round(time.time() - time.monotonic() + self.began, 1), "epochs": self.epochs,
                "log": self.log.name, "offset": self.offset}

    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.began

    def epoch(self) -> tuple[int, int | None]:
        """Finished epochs, and how many there are at most."""
        return self._history()[0], self._total()

    def _history(self) -> tuple[int, str]:
        """Finished epochs, and the last loss that validation found."""
        if not (self.folder / "history.csv").is_file():
            return 0, ""
        try:
            rows = read_results(self.folder / "history.csv", ("epoch",), "wait", dtype=str).to_dict("records")
            known = [row["val_loss"] for row in rows if row.get("val_loss")]
            return int(rows[-1]["epoch"]) if rows else 0, f"loss {float(known[-1]):.3f}" if known else ""
        except (InputError, ValueError):  # half written, or not a table
            return 0, ""

    def _total(self) -> int | None:
        try:
            found = _EPOCHS.search((self.folder / "config.yaml").read_text(encoding="utf-8"))
            return int(found[1]) if found else None
        except OSError:
            return None

    def _bar(self) -> tuple[int, int, float | None] | None:
        """The last progress bar in the log: done, all, and seconds left as it tells them."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(self.offset, self.log.stat().st_size - _TAIL))
                found = _BAR.findall(file.read())
        except OSError:
            return None
        if not found:
            return None
        done, of, left = (part.decode() for part in found[-1])
        seconds = None if "?" in left else sum(int(part) * 60**i for i, part in enumerate(reversed(left.split(":"))))
        return int(done), int(of), seconds


def last_words(log: Path, begin: int) -> str:
    """What a step that failed said last; the log's first bytes are of earlier tries."""
    text = log.read_bytes()[begin:].decode(errors="replace").replace("\r", "\n")
    if killed := _KILLED.search(text):
        return f"process {int(killed[1]) + 1} of those that train together was ended by {killed[2]}"
    lines = [line.strip() for line in _TORCHRUN.sub("", text).splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.match(line)]
    return _ERROR.sub("", (errors or lines or ["no output"])[-1])[:300]


class Watch:
    """Shows the steps that run while they run.

    Args:
        console: where; standard output by default.
        every: seconds between lines where that is no terminal.
    """

    def __init__(self, console: Console | None = None, every: float = _EVERY) -> None:
        # Notebooks and build servers set FORCE_COLOR, which rich takes for a terminal.
        self.console = console or Console(highlight=False, soft_wrap=True, force_terminal=sys.stdout.isatty())
        self.every = every
        self.running: list[Running] = []
        self.lock = threading.Lock()
        self.live: Live | None = None
        self.ended = threading.Event()

    @contextmanager
    def of(self, name: str, folder: Path, log: Path, offset: int = 0) -> Iterator[Running]:
        """While the block runs, the step is shown."""
        step = Running(name, folder, log, offset)
        step.epochs, _ = step.epoch()
        with self.lock:
            self.running.append(step)
            if len(self.running) == 1:
                self._begin()
        try:
            yield step
        finally:
            with self.lock:
                self.running.remove(step)
                if not self.running:
                    self._end()

    def lines(self) -> list[str]:
        """A line for each running step."""
        return [step.line() for step in list(self.running)]

    def _begin(self) -> None:
        if self.console.is_terminal:
            self.live = Live(get_renderable=lambda: Text("\n".join(self.lines()), overflow="ellipsis", no_wrap=True),
                             console=self.console, refresh_per_second=1, transient=True)
            self.live.start()
        else:
            self.ended = threading.Event()
            threading.Thread(target=self._tell, args=(self.ended,), daemon=True).start()

    def _end(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
        self.ended.set()

    def _tell(self, ended: threading.Event) -> None:
        while not ended.wait(self.every):
            for line in self.lines():
                print(f"  {line}", file=sys.stdout, flush=True)


def remaining(finished: Sequence[tuple[str, float]], waiting: Sequence[str], jobs: int) -> float | None:
    """Seconds that steps may take which wait, by the mean of finished ones of the same kind, or of all.

    Args:
        finished: names and seconds of steps that were run.
        waiting: names of those that were not; `curriculum fold 1 patches` is of one kind with that of fold 0.
        jobs: how many run at a time.

    Returns:
        None before the first.
    """
    kinds: dict[str, list[float]] = {}
    for name, seconds in finished:
        kinds.setdefault(_FOLD.sub("", name), []).append(seconds)
    if not kinds:
        return None
    every = [seconds for _, seconds in finished]
    total = sum(fmean(kinds.get(_FOLD.sub("", name), every)) for name in waiting)
    return total / max(min(jobs, len(waiting)), 1)


def clock(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
