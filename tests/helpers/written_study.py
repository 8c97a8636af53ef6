"""A study made up for the report's tests, whose patients and places must not appear anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

VARIANTS = {"main": 2.0, "base_a": 0.1, "base_b": 0.8}  # how far the classes lie apart


PATIENTS = 60


PRIVATE = "/archive/SECRETHOSPITAL/x"


def write_run(folder: Path, folds: tuple[int, ...] = (0, 1)) -> Path:
    """A study of three variants; every patient has two breasts and a name that must not appear anywhere."""
    random = np.random.default_rng(0)
    for fold in folds:
        rows = [{"exam_id": f"E{fold}{split[0]}{i:03d}", "patient_id": f"SECRET{fold}{split[0]}{i}",
                 "side": side, "fold": fold, "split": split, "label": int(random.random() < 0.3),
                 "group_density": "abcd"[i % 4], "group_age": str(40 + i % 30),
                 "reader_one": "" if i % 10 == 0 else str(random.integers(1, 6))}
                for split in ("validation", "test") for i in range(PATIENTS) for side in "LR"]
        table = pd.DataFrame(rows)
        for variant, shift in VARIANTS.items():
            logit = shift * (table["label"] - 0.5) + random.normal(size=len(table))
            run = folder / variant / f"fold{fold}"
            (run / "stage").mkdir(parents=True)
            score = (1 / (1 + np.exp(-logit))).round(4)
            table.assign(score=score).to_csv(run / "predictions.csv", index=False)
            (run / "stage" / "config.yaml").write_text(
                f"output_dir: {run}\ndataset_dir: {PRIVATE}\nweights: \"$@ckpt_dir + '/model.pt'\"\n")
        malignant = table.loc[(table["split"] == "test") & (table["label"] == 1), ["exam_id", "side"]]
        peaks = malignant.assign(hit=[1] * 5 + [0] * (len(malignant) - 5), distance_mm=7.5, chance=0.043)
        peaks.to_csv(folder / "main" / f"fold{fold}" / "localisation.csv", index=False)
        write_map(folder / "main" / f"fold{fold}" / "maps" / "a.npz", label=fold, exam_id=f"E{fold}t001")
    study = {
        "schema": "breast-bundles/study/1", "title": "A <study> & more", "bundle": "b", "preset": "demo",
        "unit": "breast", "dataset": {"name": "phantom", "exams": 240, "synthetic": True},
        "folds": list(folds), "fold_count": 5,
        "variants": {
            "main": {"label": "Main", "paper": {"auroc": [0.89, 0.01]}, "parameters": 2658170,
                     "steps": {"stage": 300}},
            "base_a": {"label": "Base a", "best_of": "base"},
            "base_b": {"label": "Base b", "best_of": "base"}},
        "paper_rows": [{"label": "Radiologist", "auroc": [0.93, None]}],
        "comparisons": [["main", "base_a"], ["main", "base_b"], ["main", "never_run"]],
        "environment": {"python": "3.11"}, "seconds": {"main/fold0/stage": 31.2, "main/fold1/stage": 28.8},
        "commands": [f"python -m monai.bundle run --dataset_dir {PRIVATE} --output_dir {folder}/main"],
    }
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "verify.json").write_text(json.dumps({"errors": 0, "warnings": 3, "issues": [PRIVATE]}))
    return folder


def write_map(path: Path, **change: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {"image": np.full((6, 8), 0.5, np.float32), "heat": np.eye(6, 8, dtype=np.float32),
               "points": np.array([[2.0, 3.0]], np.float32), "point_malignant": np.array([1]), "label": 1,
               "score": 0.7, "exam_id": "E", "side": "L"}
    np.savez(path, **{**content, **change})


def rows_of_test(run: Path, variant: str, fold: int) -> pd.DataFrame:
    return pd.read_csv(run / variant / f"fold{fold}" / "predictions.csv").query("split == 'test'")


def edit(path: Path, rows: Callable[[pd.DataFrame], Any], column: str, value: str) -> None:
    """Set a column's value in some rows of a table that is otherwise left as it is."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[rows(table), column] = value
    table.to_csv(path, index=False)


def in_table(column: str, value: str, table: str = "main/fold0") -> Callable[[Path], None]:
    """A fault: another value in the last row of a table, a test row."""
    return lambda run: edit(run / table / "predictions.csv", lambda rows: int(rows.index[-1]), column, value)
