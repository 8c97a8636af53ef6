"""What receipts cost: arrays held against their digest, and the finished steps of a large study."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np

from pipeline.files.receipts import state
from pipeline.study.engines.local import Runner
from pipeline.study.step import Step
from pipeline.training.batches import SeededDataset
from transforms import LoadPreparedd

STEPS, FILES, BYTES = 350, 6, 4_000_000  # a large study: its steps, and what each left


def report(breasts: list[Path], folder: Path, repeats: int) -> list[str]:
    """Measure; returns Markdown."""
    works = {way: measure.Work(partial(_epoch, way, breasts), 5) for way in ("without", "first epoch", "later epochs")}
    runs = measure.take_turns(works, repeats)
    rows = [[str(n), way, runs[way, n].time(1e3), runs[way, n].times(runs["without", n], 2)]
            for n in measure.THREADS for way in works]
    seen, checked, size = measure.in_child(_study, folder)
    return [
        "## Receipts",
        "",
        f"Loading {len(breasts)} prepared breasts of the paper's size, file to tensor: without digests, in a run's",
        "first epoch, which holds each array against its SHA-256, and in all others.",
        "",
        *measure.table(["threads", "way", "ms", "× without"], rows),
        f"A study of {STEPS} finished steps with {FILES} files each ({size / 1e9:.1f} GB): seen to be done in "
        f"{seen:.2f} s;", f"every file read by `--check` in {checked:.1f} s, {size / 1e9 / checked:.2f} GB/s.",
        "",
        measure.told(runs), "",
    ]


def _epoch(way: str, breasts: list[Path]) -> Callable[[], Any]:
    digests = {} if way == "without" else {path: state(path)["sha256"] for path in breasts}
    cases = [{"image": str(path), **({"sha256": digests[path]} if digests else {})} for path in breasts]

    def load(data: SeededDataset) -> None:
        for i in range(len(data)):
            data[i]

    later = SeededDataset(cases, LoadPreparedd("image"))
    load(later)
    return (lambda: load(later)) if way == "later epochs" else lambda: load(SeededDataset(
        cases, LoadPreparedd("image")))


def _study(folder: Path) -> tuple[float, float, int]:
    """Seconds to see that all is done, seconds to read all, and bytes."""
    steps = [Step(f"variant{i} fold 0 train", folder / "study" / f"variant{i}", [], "key") for i in range(STEPS)]
    content = np.random.default_rng(0).bytes(BYTES // FILES)
    for step in steps:
        step.start("inputs")
        for k in range(FILES):
            (step.folder / f"file{k}").write_bytes(content)
        step.finish("inputs", 1.0)
    start = time.perf_counter()
    runner = Runner(1)
    runner.run_all([[step] for step in steps], "inputs")
    seen = time.perf_counter() - start
    start = time.perf_counter()
    assert not any(step.damaged() for step in steps)
    return seen, time.perf_counter() - start, sum(step.size() for step in steps)
