"""Exports of every bundle, trained for one epoch on what fits into seconds, as a study would have left them."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigWorkflow

from pipeline.datalist import Datalist

ROOT = Path(__file__).parents[2]
BUNDLES = [p.name for p in sorted((ROOT / "bundles").iterdir()) if (p / "configs" / "inference.yaml").is_file()]
METRICS = {"auroc": 0.81, "accuracy": 0.72, "sensitivity": 0.63, "specificity": 0.84}


@dataclass
class Tiny:
    """What a bundle is trained on here: its variant, stages and settings."""

    variant: str
    stages: dict[str, tuple[list[str], dict[str, Any]]]
    prepared: dict[str, Any] = field(default_factory=dict)
    evaluated: dict[str, Any] = field(default_factory=dict)
    row: str = ""


def train(bundle: str, configs: list[str], folder: Path, dataset: Path, **settings: Any) -> Path:
    """One stage in this process, as `python -m monai.bundle run`; returns its weights."""
    files = [str(ROOT / "bundles" / bundle / "configs" / f"{name}.yaml") for name in configs]
    files.append(str(ROOT / "bundles" / "common" / "smoke.yaml"))  # whatever the bundle
    given = {"fold": 0, "quiet": True, **settings, "dataset_dir": str(dataset), "output_dir": str(folder),
             "ckpt_dir": str(folder)}
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, model_name="model.pt",
                              bundle_root=str(ROOT / "bundles" / bundle), **given)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return folder / "model.pt"


def study(bundle: str, folder: Path, dataset: Path, told: Tiny) -> Path:
    """A study's folder as `python -m pipeline study` leaves it, each stage trained for an epoch."""
    place, given = folder / told.variant / "fold0", {}
    for name, (configs, settings) in told.stages.items():
        if "attention" in configs:
            from pipeline.mammography import regions
            from pipeline.prepare import cases

            middle = {regions.image_key(c): {"center": [64.0, 40.0], "score": 0.0, "array": c["sha256"]}
                      for c in cases.load(dataset)["images"]}
            regions.save(place / "regions.json", regions.identity(given["holistic"], 48, 48, 0), middle)
            settings = {**settings, **given, "regions": str(place / "regions.json")}
        given[name] = str(train(bundle, configs, place / name, dataset, **settings))
    (folder / "prepared").mkdir()
    (folder / "prepared" / "config.yaml").write_text(yaml.safe_dump(told.prepared))
    (place / "config.evaluate.yaml").write_text(yaml.safe_dump(told.evaluated))
    rows = [("split", "label", "score", "variant"), ("validation", 0, 0.125, "x"), ("validation", 1, 0.25, "x"),
            ("validation", 0, 0.375, told.row), ("validation", 1, 0.625, told.row), ("test", 1, 0.9, told.row)]
    with (place / "predictions.csv").open("w") as file:
        csv.writer(file).writerows(rows if told.row else [row[:3] for row in [rows[0], *rows[3:]]])
    row = told.row or told.variant
    (folder / "metrics.json").write_text(json.dumps({"final": {}, "variants": {
        row: {name: {"mean": value} for name, value in METRICS.items()}}}))
    record(folder, bundle, told.variant)
    return folder


def record(folder: Path, bundle: str, variant: str, fold: int = 0) -> None:
    """What a study says of itself."""
    (folder / "study.json").write_text(json.dumps({
        "bundle": bundle, "preset": "demo", "unit": "breast", "folds": [fold], "final_fold": None,
        "variants": {variant: {}}, "dataset": {"name": "tiny", "exams": 12, "patients": 12, "synthetic": True}}))


def labelled(source: Datalist, studies: Path, each: int = 4) -> list[dict[str, str]]:
    """Exams as a server's studies have them, every other one positive, and beside the folder their labels."""
    studies.mkdir()
    ultrasound = source.modality == "US"
    positive = [exam for exam in source.exams if (exam.lesions if ultrasound else exam.worst_label() == 2)]
    negative = [exam for exam in source.exams if (exam.healthy() if ultrasound else exam.worst_label() < 2)]
    items = []
    for exam in (exam for pair in zip(positive[:each], negative[:each], strict=False) for exam in pair):
        image = source.path(exam, "image" if ultrasound else "post1")
        shown, label = studies / f"{exam.exam_id}{''.join(image.suffixes)}", studies.parent / f"{exam.exam_id}.json"
        shutil.copy(image, shown)
        if ultrasound:
            points = [list(point) for _, point in exam.points()]
            label.write_text(json.dumps({"label": int(bool(points)), "points": points}))
        else:
            shutil.copytree(image.parent, studies / f"{exam.exam_id}.exam")
            label.write_text(json.dumps({side: breast["malignant"] for side, breast in exam.breasts.items()}))
        items.append({"image": str(shown), "label": str(label)})
    return items
