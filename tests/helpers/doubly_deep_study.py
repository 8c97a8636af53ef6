"""A study of the doubly deep paper's shape: seven inputs, sizes of the training set, two ensembles, two tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.files.atomic import write_table

STUDY = """
title: "Whole exams: malignancy of a breast"
modality: MR
unit: breast
tasks: [malignant, benign]
presets: [paper, demo]
prepare: {configs: [a.yaml]}
each:
  input:
    values: {paper: [t0, t1, t2, t3, t1-t0, t2-t0, t3-t0], demo: [t2, t1-t0, t2-t0, t3-t0]}
    variant: "{input}"
    label: "{input}"
    parameters: 11611785
    paper:
      t0: {malignant: {auroc: [0.6714]}, benign: {auroc: [0.6304]}}
      t2-t0: {malignant: {auroc: [0.8486]}, benign: {auroc: [0.7267]}}
    stages:
    - {name: train, configs: [a.yaml], settings: {input: "{input}"}}
    evaluate: {configs: [a.yaml], settings: {input: "{input}", model: "{run}/train/model.pt"}}
  share:
    values: {paper: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0], demo: [0.1, 0.5, 1.0]}
    existing: {1.0: t2-t0}
    variant: "t2-t0_{share}"
    label: "t2-t0, {share:.0%} of the exams"
    axis: "Share of the training exams"
    ticks: "{share:.0%}"
    parameters: 11611785
    stages:
    - {name: train, configs: [a.yaml], settings: {input: t2-t0, share: "{share}"}}
    evaluate: {configs: [a.yaml], settings: {input: t2-t0, model: "{run}/train/model.pt"}}
combined:
  mean:
    label: "Mean of the three subtractions"
    kind: mean
    of: [t1-t0, t2-t0, t3-t0]
    paper: {malignant: {auroc: [0.8497]}}
  ensemble:
    label: "Ensemble selection"
    kind: selection
    of: {paper: [t0, t1, t2, t3, t1-t0, t2-t0, t3-t0], demo: [t2, t1-t0, t2-t0, t3-t0]}
    paper: {malignant: {auroc: [0.8459]}}
comparisons:
- [t2-t0, t2]
- [mean, t2-t0]
"""
INPUTS = ["t0", "t1", "t2", "t3", "t1-t0", "t2-t0", "t3-t0"]


def write_bundle(folder: Path) -> Path:
    """A bundle that has a study and nothing to run."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "study.yaml").write_text(STUDY)
    (folder / "configs" / "a.yaml").write_text("lr: 1.0e-5")
    return folder


def write_list(path: Path, folds: int = 2) -> Path:
    """A datalist without images."""
    exams = [{"exam_id": f"E{i}", "patient_id": f"P{i}", "images": {}, "breasts": {"L": {"malignant": i % 2}},
              "fold": i % folds} for i in range(4)]
    path.write_text(json.dumps({"schema": "breast-bundles/datalist/2", "name": "d", "modality": "MR", "root": ".",
                                "folds": {"count": folds, "seed": 0}, "exams": exams}))
    return path


def write_predictions(run: Path, variant: str, fold: int, scores: Sequence[float], labels: Sequence[object],
                      test_scores: Sequence[float] = (), test_labels: Sequence[object] = (), task: str | None = None
                      ) -> Path:
    """One task's rows, validation and then test, a patient each; with a task they are added to what is there."""
    rows = [{"exam_id": f"{split[0]}{i}", "patient_id": f"{split}{fold}{i}", "side": "L",
             **({} if task is None else {"task": task}), "fold": fold, "split": split, "label": label, "score": score}
            for split, own, known in (("validation", scores, labels), ("test", test_scores, test_labels))
            for i, (score, label) in enumerate(zip(own, known, strict=True))]
    path = run / variant / f"fold{fold}" / "predictions.csv"
    if task is not None and path.is_file():
        import csv

        with path.open(newline="") as file:
            rows = [*csv.DictReader(file), *rows]
    write_table(path, rows)
    return path


def write_exams(run: Path, variant: str, fold: int, shift: float, unknown: int = 0, lead_unknown: int = 0) -> None:
    """Twenty exams of two breasts in each split, drawn; labels of the first so many are not known, by task."""
    random = np.random.default_rng([fold, sum(map(ord, variant))])
    truth = np.random.default_rng(fold)
    rows = []
    for task, strength in (("malignant", shift), ("benign", shift / 2)):
        for split in ("validation", "test"):
            for i in range(20):
                for side in "LR":
                    label = int(truth.random() < 0.4)
                    score = 1 / (1 + np.exp(-strength * (label - 0.5) - random.normal()))
                    known = i >= (lead_unknown if task == "malignant" else unknown)
                    rows.append({"exam_id": f"E{fold}{split[0]}{i}", "patient_id": f"P{fold}{split[0]}{i}",
                                 "side": side, "task": task, "fold": fold, "split": split,
                                 "label": label if known else -1, "score": round(float(score), 6)})
    write_table(run / variant / f"fold{fold}" / "predictions.csv", rows)


SHIFTS = {"t2-t0": 2.5, "t1": 0.3, "t2-t0_0.1": 0.8, "t2-t0_0.5": 1.6}  # how far the classes of malignancy lie apart


def write_two_tasks(run: Path, folds: Sequence[int] = (0, 1), unknown: int = 5, **about: object) -> Path:
    """A study of four variants and two tasks, as an evaluation leaves it; of benign some labels are not known."""
    for name, shift in SHIFTS.items():
        for fold in folds:
            write_exams(run, name, fold, shift, unknown)
    each = {"t2-t0": {"input": "t2-t0", "share": 1.0}, "t1": {"input": "t1"}, "t2-t0_0.1": {"share": 0.1},
            "t2-t0_0.5": {"share": 0.5}}
    variants = {name: {"label": name.replace("_", ", "), "parameters": 11611785, "each": each[name]} for name in SHIFTS}
    variants["t2-t0"]["paper"] = {"malignant": {"auroc": [0.8486]}, "benign": {"auroc": [0.7267]}}
    variants["t1"]["paper"] = {"auroc": [0.6999]}
    (run / "study.json").write_text(json.dumps({
        "schema": "breast-bundles/study/1", "title": "Whole exams", "bundle": "b", "preset": "demo", "unit": "breast",
        "tasks": ["malignant", "benign"], "folds": list(folds), "fold_count": 5, "variants": variants,
        "comparisons": [["t2-t0", "t1"]], "paper_rows": [{"label": "Reader", "benign": {"auroc": [0.6]}}],
        "curves": {"share": {"axis": "Share of the training exams", "ticks": "{share:.0%}"}}, **about}))
    return run
