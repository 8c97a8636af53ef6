"""The command: the same predictions give the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

from written_study import write_run

from pipeline.__main__ import main
from pipeline.report.command import table_text
from pipeline.report.predictions import load_run


def test_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    written = []
    for _ in range(2):
        assert main(["report", str(run), "--replicates", "100"]) == 0
        written.append([(run / name).read_bytes() for name in ("metrics.json", "report.html")])
    assert written[0] == written[1]


def test_the_table_of_each_task_has_the_papers_figures_of_that_task(two_tasks: Path) -> None:
    metrics = json.loads((two_tasks / "metrics.json").read_text())
    lines = [line.split() for line in table_text(load_run(two_tasks), metrics).splitlines()]
    heads = [lines.index(["malignant"]), lines.index(["benign"])]
    first, second = lines[: heads[1]], lines[heads[1] :]
    assert heads[0] == 0
    for part, row, paper in ((first, "t2-t0", "0.85"), (second, "t2-t0", "0.73"), (first, "t1", "0.70"),
                             (second, "t1", "–"), (first, "Reader", "–"), (second, "Reader", "0.60")):
        assert next(line for line in part if line[:1] == [row])[-2] == paper
