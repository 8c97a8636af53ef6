"""What a cohort of 100,000 exams costs beside its images: list, folds, checks, prepared list, cases, report.

Run by itself, `python benchmarks/scale.py FOLDER [EXAMS]` makes the cohort and prints the table.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np
import pandas as pd
import yaml

from pipeline import datalist
from pipeline.datalist import Datalist, Exam
from pipeline.files.receipts import state
from pipeline.folds import assign_folds
from pipeline.mammography.screening import exam_row
from pipeline.mammography.views import VIEWS, images, views
from pipeline.prepare import cases as prepared
from pipeline.prepare import run as preparation
from pipeline.report import command as report_command
from pipeline.report.analyse import analyse
from pipeline.report.exams import write_exams
from pipeline.report.page import render
from pipeline.report.predictions import load_run
from pipeline.study.record import listed_inputs
from pipeline.training.batches import BalancedSampler, SeededDataset
from pipeline.verify import verify
from transforms import LoadViews

EXAMS, FOLDS = 100_000, 5
NAMES = ("L-CC", "L-MLO", "R-CC", "R-MLO")
STUDY = Path(__file__).parents[1] / "bundles" / "mammography_attention" / "configs" / "study.yaml"


def exams(count: int) -> list[Exam]:
    """Screening exams of two patients in three: 1 in 200 with a cancer, of which a quarter is one of the interval."""
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        kind = ("interval" if random.random() < 0.25 else "screen") if random.random() < 0.005 else "negative"
        bad = "LR"[int(random.integers(2))] if kind != "negative" else ""
        found.append(Exam(
            f"E{i:06d}", f"P{int(random.integers(count * 2 // 3)):06d}",
            {name: f"{i // 1000:03d}/E{i:06d}_{name}.png" for name in NAMES},
            {side: {"malignant": int(side == bad), "benign": 0} for side in "LR"},
            readers={name: {side: int(random.integers(1, 5)) for side in "LR"} for name in ("reader1", "reader2")},
            groups={"detection": kind, "density": "abcd"[int(random.integers(4))]}))
    return found


def write_cohort(folder: Path, count: int) -> None:
    """The list with folds, its images and their arrays: names that lead to one small file each."""
    listed = exams(count)
    folds = assign_folds(listed, FOLDS)
    datalist.save(Datalist("scale", "MG", folder / "images", listed, folds), folder / "list.json")
    (folder / "image.png").write_bytes(bytes(64))
    np.save(folder / "array.npy", np.ones((1, 1, 8, 8), np.uint16))
    image, array = state(folder / "image.png"), state(folder / "array.npy")
    records = folder / "prepared" / "records"
    records.mkdir(parents=True)
    key = hashlib.sha256(json.dumps({"version": prepared.VERSION, **LoadViews().parameters},
                                    sort_keys=True).encode()).hexdigest()
    for exam in listed:
        arrays = {}
        for name, path in exam.images.items():
            (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / path).symlink_to(folder / "image.png")
            own = f"{exam.exam_id}_{name}.npy"
            (folder / "prepared" / own).symlink_to(folder / "array.npy")
            arrays[name] = {"image": own, **array, "frame": [8, 8, 0, 0], "flipped": name[0] == "R", "notes": []}
        (records / f"{exam.exam_id}.json").write_text(json.dumps({
            "key": key, "inputs": VIEWS.fingerprint(exam), "sources": dict.fromkeys(exam.images, image),
            "arrays": arrays}))


def write_study(folder: Path) -> None:
    """Predictions of three variants in five folds, as the mammography bundle's evaluation leaves them."""
    source, plan = datalist.load(folder / "list.json"), yaml.safe_load(STUDY.read_text())
    name, entry = next(iter(plan["variants"].items()))
    random = np.random.default_rng(1)
    for fold in range(FOLDS):
        rows = [{**exam_row({"exam_id": exam.exam_id, "patient_id": exam.patient_id, "split": part,
                             "label": int(exam.groups["detection"] == "screen"), "groups": exam.groups,
                             "readers": exam.readers}, fold), "images": 4}
                for exam in source.exams if (part := exam.split(fold)) != "train"]
        table = pd.DataFrame(rows)
        logits = random.normal(size=len(table)) + 2 * table["label"]
        place = folder / "study" / name / f"fold{fold}"
        place.mkdir(parents=True)
        pd.concat([table.assign(variant=row, score=1 / (1 + np.exp(-logits - random.normal(0, 0.5, len(table)))))
                   for row in entry["rows"]]).to_csv(place / "predictions.csv", index=False)
    study = {"schema": "breast-bundles/study/1", **{key: plan[key] for key in (
        "title", "unit", "positive", "comparisons", "screening", "readers")}, "paper_rows": [],
        "bundle": "mammography_attention", "preset": "paper", "folds": list(range(FOLDS)), "fold_count": FOLDS,
        "final_fold": None, "dataset": {"name": "scale", "exams": len(source.exams), "synthetic": True},
        "variants": {name: {"label": entry["label"], "rows": entry["rows"], "steps": {}}}, "environment": {},
        "seconds": {}, "commands": []}
    (folder / "study" / "study.json").write_text(json.dumps(study))


def works(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is measured, each by itself: what must be there before is made outside the time, by the first call."""
    here, ready = folder / "list.json", folder / "prepared"

    def listed(work: Callable[[Datalist], Any]) -> Callable[[], Any]:
        source = datalist.load(here)
        return lambda: work(source)

    def of_run(work: Callable[[Any], Any]) -> Callable[[], Any]:
        run = load_run(folder / "study")
        run.study["readers"] = report_command.cuts(run)
        return lambda: work(run)

    def analysed(work: Callable[[Any, Any], Any]) -> Callable[[], Any]:
        run = load_run(folder / "study")
        run.study["readers"] = report_command.cuts(run)
        metrics = analyse(run, 100)
        return lambda: work(run, metrics)

    def of_cases(work: Callable[[Any], Any]) -> Callable[[], Any]:
        found = images(ready, 0, "train")
        return lambda: work(found)

    return {
        "`datalist.load`": lambda: lambda: datalist.load(here),
        "`datalist.save`": lambda: listed(lambda source: datalist.save(source, folder / "again.json")),
        "folds": lambda: listed(lambda source: assign_folds(source.exams, FOLDS)),
        "`verify --quick`": lambda: listed(lambda source: verify(source, quick=True)),
        "what a study rests on": lambda: listed(lambda source: listed_inputs(here, source)),
        "`prepare.yaml`, all ready": lambda: lambda: preparation.run(here, ready, VIEWS, LoadViews(), 1),
        "`prepared.load`": lambda: lambda: prepared.load(ready),
        "training cases of a fold": lambda: lambda: images(ready, 0, "train"),
        "test cases of a fold": lambda: lambda: views(ready, 0, "validation", "test"),
        "dataset and an epoch's plan": lambda: of_cases(lambda found: (SeededDataset(found), list(BalancedSampler(
            found)))),
        "report: predictions read": lambda: lambda: load_run(folder / "study"),
        "report: numbers, 2,000 replicates": lambda: of_run(lambda run: analyse(run, 2000)),
        "report: page": lambda: analysed(render),
        "report: every exam": lambda: analysed(write_exams),
    }


def measured(ready: Callable[[], Callable[[], Any]]) -> tuple[float, float]:
    """Seconds of the processor, and the largest resident memory in MB."""
    work = ready()
    start = time.process_time()
    work()
    return time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / measure.MEGABYTE


def report(folder: Path, count: int = EXAMS) -> list[str]:
    """Measure; returns Markdown."""
    folder.mkdir(exist_ok=True)
    measure.in_child(write_cohort, folder, count)
    rows = []
    for name, work in works(folder).items():
        if name.startswith("report") and not (folder / "study").is_dir():
            measure.in_child(write_study, folder)
        seconds, peak = measure.in_child(measured, work, threads=1)
        print(f"  {name}: {seconds:.1f} s, {peak:.0f} MB", flush=True)
        rows.append([name, f"{seconds:.1f}", f"{peak:,.0f}"])
    return [
        f"## {count:,} exams",
        "",
        f"A made-up cohort of {count:,} screening exams with four views each, {FOLDS} folds and two readers. Its",
        "images are names of one small file: what is left is the handling of the list. Each row is a process of",
        "its own with one thread, measured once; its peak includes what was loaded before the time began.",
        "",
        *measure.table(["step", "processor seconds", "peak MB"], rows),
    ]


if __name__ == "__main__":
    print("\n".join(report(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else EXAMS)))
