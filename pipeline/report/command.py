"""`python -m pipeline report RUN`: a study's predictions as metrics.json, report.html and a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files.atomic import write_json, write_text
from pipeline.report.analyse import analyse
from pipeline.report.exams import write_exams
from pipeline.report.page import confidence, number, plus_minus, render
from pipeline.report.parts.readers import cuts
from pipeline.report.predictions import Run, load_run
from pipeline.report.tasks import by_task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the study")
    parser.add_argument("--replicates", type=int, default=2000, help="bootstrap replicates of the intervals")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    parser.add_argument("--positive-from", type=int, choices=range(1, 6), help="readers' score of 1 to 5 from which "
                        "they count as positive (default: the study's, else 4)")
    parser.add_argument("--reader-threshold", type=float, help="the same of readers who give other numbers, such as "
                        "probabilities; without it they are compared by AUROC alone")


def main(args: argparse.Namespace) -> int:
    """Write both files into the study's folder and print the main table."""
    if args.replicates < 100:
        raise InputError(f"--replicates {args.replicates}: 100 or more are needed for a 95 % interval")
    run = load_run(args.run)
    given = {"positive_from": args.positive_from, "threshold": args.reader_threshold}
    run.study["readers"] = cuts(run) | {name: value for name, value in given.items() if value is not None}
    metrics = analyse(run, args.replicates, args.seed)
    page = render(run, metrics)  # before anything is written: both files are of one run, or neither is new
    write_json(args.run / "metrics.json", metrics)
    write_text(args.run / "report.html", page)
    print(table_text(run, metrics))
    for line in cohort_lines(metrics):
        print(line)
    for note in metrics["notes"]:
        print(f"note: {note}")
    print(f"report: {args.run / 'report.html'}")
    print(f"every exam: {write_exams(run, metrics)}")
    return 0


def table_text(run: Run, metrics: dict[str, Any]) -> str:
    """The main table in aligned columns; of several tasks, a table each."""
    lead, *others = by_task(run)
    lines = [*([lead.task] if lead.task else []), *_aligned(lead.study, metrics)]
    for other in others:
        lines += ["", other.task, *_aligned(other.study, metrics["tasks"][other.task])]
    return "\n".join(lines)


def cohort_lines(metrics: dict[str, Any]) -> Iterator[str]:
    """A line a variant on each other cohort: AUROC of the mean of the folds' scores."""
    for cohort, told in metrics["cohorts"].items():
        for entry in told["variants"].values():
            yield (f"on {cohort}: {entry['label']}: AUROC {number(entry['auroc']['value'])}, 95 % interval "
                   f"{confidence(entry['auroc'])}, {entry['n']} cases")


def _aligned(study: dict[str, Any], metrics: dict[str, Any]) -> list[str]:
    rows = [("", "AUROC", "95 % interval", "accuracy", "paper: AUROC", "accuracy")]
    for name, entry in metrics["variants"].items():
        paper = study["variants"][name].get("paper") or {}
        rows.append((entry["label"], plus_minus(entry["auroc"]), confidence(entry["auroc"]),
                     plus_minus(entry["accuracy"]), plus_minus(paper.get("auroc"), 2),
                     plus_minus(paper.get("accuracy"), 2)))
    for entry in study.get("paper_rows") or []:
        rows.append((entry.get("label", ""), "not run here", "", "", plus_minus(entry.get("auroc"), 2),
                     plus_minus(entry.get("accuracy"), 2)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
