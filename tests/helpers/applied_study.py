"""A study that has run somewhere else, and a cohort of other people; nothing in them is an image."""

from __future__ import annotations

from pathlib import Path

from doubly_deep_study import write_predictions

from pipeline.datalist import Datalist, Exam, save
from pipeline.files.atomic import write_json
from pipeline.files.receipts import digest
from pipeline.folds import assign_folds
from pipeline.prepare import cases
from pipeline.study.step import Step

THEN = "/machine/of/then/run"  # where the study was when it ran
CASES = [{"exam_id": f"E{i}", "patient_id": f"P{i}", "splits": [("test", "train")[i % 2], ("train", "test")[i % 2]]}
         for i in range(4)]


def record(run: Path, place: str, name: str, text: str) -> Path:
    """A step's folder with the config that it ran with."""
    folder = run / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"output_dir: {THEN}/{place}\n{text}")
    return folder


def write_study(run: Path, contrasts: tuple[str, ...] = ("pre", "post1")) -> Path:
    """Two variants in two folds, one of which finds something in the images first; and the mean of both."""
    record(run, "prepared", "config.yaml", "datalist: old.json\nrun: [$prepare.run(@datalist)]\n")
    cases.save(run / "prepared", {"schema": cases.SCHEMA, "name": "own", "modality": "MR", "parameters": {},
                                  "folds": {"count": 3}, "breasts": CASES}, "old.json")
    for case in CASES:
        own = run / "images" / case["exam_id"]
        own.mkdir(parents=True)
        for name in contrasts:
            (own / name).write_text(f"{case['exam_id']} {name} of the study")
        write_json(run / "prepared" / "records" / f"{case['exam_id']}.json", {"sources": {
            name: {"bytes": (own / name).stat().st_size, "sha256": digest(own / name)} for name in contrasts}})
    for fold in (0, 1):
        for variant, extra in (("plain", ""), ("finds", f"found: {THEN}/finds/fold{fold}/find/found.json\n")):
            place = f"{variant}/fold{fold}"
            record(run, f"{place}/train", "config.yaml", "run: [$@train#trainer.run()]\n")
            record(run, f"{place}/find", "config.find.yaml", f"model: {THEN}/{place}/train/model.pt\nrun: [$look()]\n")
            folder = record(run, place, "config.evaluate.yaml", f"fold: {fold}\nmodel: {THEN}/{place}/train/model.pt\n"
                            f"dataset_dir: {THEN}/prepared\n{extra}train: {{dataset: {{data: $cases}}}}\n"
                            "run: [$@validate#evaluator.run()]\n")
            write_predictions(run, variant, fold, [0.5, 0.5], [0, 1], [0.5], [1])
            Step("evaluate", folder, []).finish("inputs", 1.0)
        write_json(run / "mean" / f"fold{fold}" / "weights.json",
                   {"kind": "mean", "fold": fold, "weights": {"plain": 0.25, "finds": 0.75}})
        Step("combine", run / "mean" / f"fold{fold}", []).finish("inputs", 1.0)
    write_json(run / "study.json", {"schema": "breast-bundles/study/1", "bundle": "b", "folds": [0, 1],
                                    "variants": {name: {} for name in ("plain", "finds", "mean")}})
    return run


def write_cohort(folder: Path, name: str = "other", contrasts: tuple[str, ...] = ("pre", "post1"),
                 modality: str = "MR", text: str = "elsewhere") -> Path:
    """Four exams of other people under the study's names."""
    exams = []
    for i in range(4):
        exams.append(Exam(f"E{i}", f"P{i}", {c: f"{name}/E{i}/{c}" for c in contrasts}, {"L": {"malignant": i % 2}}))
        for contrast, path in exams[-1].images.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(f"E{i} {contrast} {text}")
    listed = Datalist(name, modality, folder, exams)
    listed.folds = assign_folds(exams, 2, 0)
    save(listed, folder / f"{name}.json")
    return folder / f"{name}.json"
