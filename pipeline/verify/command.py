"""`python -m pipeline verify LIST`: the issues as a table on stdout and, with `--json`, as JSON."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from pipeline.cluster import joblib_on
from pipeline.datalist import Datalist, load
from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.processes import cores
from pipeline.verify.codes import RULES, SEVERITIES, Issue
from pipeline.verify.images import contrast_issues, duplicate_issues, image_issues
from pipeline.verify.labels import fold_issues, label_issues
from pipeline.verify.reading import is_volume, read_facts, read_mammogram_facts
from transforms.facts import Facts

SCHEMA = "breast-bundles/verify/1"
_MOST_WORKERS = 8  # beyond that a disk is slower, and every worker holds one image in memory
_HEADERS = 64  # read at a time by one thread: handing one over costs more than reading it


def verify(
    datalist: Datalist,
    contrasts: list[str] | None = None,
    workers: int | None = None,
    quick: bool = False,
    progress: bool = False,
    scheduler: str | None = None,
) -> list[Issue]:
    """Check a datalist: its labels, its folds, and every image, read to its end.

    Args:
        datalist: the list.
        contrasts: images that every exam must have, the only ones read; by default all that the list names.
        workers: files read at a time; by default one a processor core, at most 8.
        quick: read headers only, which finds neither damaged files nor NaN.
        progress: show a bar on stderr.
        scheduler: address of a dask cluster whose workers read the files.

    Returns:
        The issues: errors before warnings, then by exam, image and code. A list with errors must not be
        trained on.
    """
    uses = [
        (exam, name, os.path.normpath(datalist.path(exam, name)))
        for exam in datalist.exams
        for name in exam.images
        if contrasts is None or name in contrasts
    ]
    views = {path: name for _, name, path in uses if datalist.modality == "MG" and not is_volume(path)}
    reading = joblib_on(scheduler, [datalist.root]) if scheduler else parallel_config(
        backend="threading", n_jobs=workers or min(_MOST_WORKERS, cores()))
    with reading:
        facts = _read({path for _, _, path in uses}, views, quick, progress)
    issues = [*contrast_issues(datalist, contrasts), *label_issues(datalist), *fold_issues(datalist)]
    issues += duplicate_issues([(exam.exam_id, name, path, facts[path]) for exam, name, path in uses])
    images: dict[int, dict[str, Facts]] = {}  # by identity: an exam's id may be there twice
    for exam, name, path in uses:
        images.setdefault(id(exam), {})[name] = facts[path].spaced(exam.spacing_mm)
    for exam in datalist.exams:
        issues += image_issues(datalist.modality, exam, images.get(id(exam), {}))
    order = {severity: i for i, severity in enumerate(SEVERITIES)}
    return sorted(issues, key=lambda it: (order[it.severity], it.exam, it.image, it.code, it.reason))


def _read(paths: set[str], views: dict[str, str], quick: bool, progress: bool) -> dict[str, Facts]:
    """Facts of every file; `views` names those that are mammograms.

    On one machine threads do: inflating, hashing and numpy all leave Python's lock.
    """
    ordered = sorted(paths)
    pool = Parallel(return_as="generator", batch_size=_HEADERS if quick else 1)
    found = pool(delayed(read_mammogram_facts)(Path(path), views[path], quick) if path in views else
                 delayed(read_facts)(Path(path), quick) for path in ordered)
    bar = tqdm(found, total=len(ordered), unit="file", disable=None if progress else True)
    return dict(zip(ordered, bar, strict=True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("datalist", metavar="LIST.json", help="the datalist")
    parser.add_argument("--json", metavar="OUT.json", help="write the issues here, too")
    parser.add_argument("--contrasts", metavar="A,B,…",
                        help="images that every exam must have; only these are read")
    parser.add_argument("--workers", type=int, help="files read at a time (default: one a core, at most 8)",
                        default=argparse.SUPPRESS)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a dask cluster whose workers read the files, e.g. "
                        "tcp://head:8786")
    parser.add_argument("--quick", action="store_true", help="read headers only: misses damage and NaN")


def main(args: argparse.Namespace) -> int:
    """Verify a list; returns 1 where there are errors, 0 where there are none or only warnings."""
    workers = getattr(args, "workers", None)
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: 1 or more files are read at a time")
    contrasts = [name.strip() for name in (args.contrasts or "").split(",") if name.strip()] or None
    datalist = load(args.datalist)
    issues = verify(datalist, contrasts, workers, args.quick, progress=True, scheduler=args.scheduler)
    counts = Counter(item.severity for item in issues)
    if args.json:
        content = {
            "schema": SCHEMA,
            "errors": counts["error"],
            "warnings": counts["warning"],
            "exams": len(datalist.exams),
            "issues": [asdict(item) for item in issues],
        }
        try:
            write_json(args.json, content)
        except OSError as error:
            raise InputError(f"--json: cannot be written ({error.strerror}); choose another place") from None
    print(table(issues))
    print(f"{len(datalist.exams)} exams: {counts['error']} errors, {counts['warning']} warnings"
          + (" (headers only)" if args.quick else ""))
    return 1 if counts["error"] else 0


def table(issues: list[Issue]) -> str:
    """The issues in aligned columns, and below them what to do about each code."""
    if not issues:
        return "no issues"
    rows = [("severity", "code", "exam", "image", "reason")]
    rows += [(it.severity, it.code, it.exam or "(list)", it.image or "-", it.reason) for it in issues]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
             for row in rows]
    codes = list(dict.fromkeys(it.code for it in issues))
    width = max(map(len, codes))
    lines += ["", "what to do", *(f"  {code.ljust(width)}  {RULES[code].remedy}" for code in codes), ""]
    return "\n".join(lines)
