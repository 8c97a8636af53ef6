"""An evaluation without a network: batches and predictions written down by hand, handed to a writer."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def evaluate(writer: Any, *steps: tuple[dict[str, Any], Any]) -> None:
    """Give a writer of evaluations batches with their predictions, from its start to its files."""
    engine = SimpleNamespace(state=SimpleNamespace(batch=None, output=None))
    writer.start(engine)
    for batch, pred in steps:
        engine.state.batch, engine.state.output = batch, {"pred": pred}
        writer.collect(engine)
    writer.write(engine)


def batch_of(*cases: dict[str, Any]) -> dict[str, Any]:
    """Cases as a batch that keeps everything in lists."""
    return {key: [case[key] for case in cases] for key in cases[0]}


def rows(path: Path) -> list[dict[str, str]]:
    """A table's rows, every cell a text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
