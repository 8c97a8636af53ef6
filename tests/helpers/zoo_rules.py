"""What the model zoo's continuous integration and reviewers ask of a bundle, beyond MONAI's own checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import monai.bundle
import torch
from monai.bundle import ConfigWorkflow

HEADINGS = ["Model Overview", "Install", "This model", "Data", "Training configuration", "Input", "Output",
            "Performance", "MONAI Bundle Commands", "Execute training", "Execute inference", "References", "License"]


def texts(content: Any) -> list[str]:
    """Every text of a config."""
    if isinstance(content, (dict, list)):
        return [text for each in (content.values() if isinstance(content, dict) else content) for text in texts(each)]
    return [content] if isinstance(content, str) else []


def check_zoo_rules(exported: Path, dataset: Path, exam: Path, out: Path, **given: Any) -> None:
    """Hold an export against them.

    Args:
        exported: its folder.
        dataset: a prepared one, of its training.
        exam: for its inference.
        out: a folder to write into.
        given: settings of the training, those that it has.
    """
    configs = {path.stem: json.loads(path.read_text()) for path in (exported / "configs").glob("*.json")}
    meta, inference, training = configs["metadata"], configs["inference"], configs["train"]
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()}
    assert {"LICENSE", "configs/metadata.json", "configs/logging.conf", "docs/README.md", "docs/data_license.txt",
            "models/model.pt"} <= files
    assert not [name for name in files - {"large_files.yml"} if Path(name).suffix in (".yml", ".yaml", ".pyc")]
    assert not any((exported / name).exists() for name in ("transforms", "pipeline", "data_lists", "scripts"))
    assert exported.name == exported.name.lower() and "Apache License" in (exported / "LICENSE").read_text()
    headings = [line.lstrip("# ") for line in (exported / "docs/README.md").read_text().splitlines()
                if line.startswith("#")]
    assert [each for each in headings if each in HEADINGS] == HEADINGS
    for sections in ("loggers", "handlers", "formatters"):
        assert f"[{sections}]" in (exported / "configs/logging.conf").read_text()
    assert meta["version"] in meta["changelog"] and meta["required_packages_version"]["breast-bundles"]
    assert meta["intended_use"] and meta["references"] and meta["data_source"] and meta["task"]
    assert not [text for text in texts(configs) if any(part in text for part in ("/home/", "/tmp/", "/workspace/"))]
    assert not [text for text in texts([inference, training]) if text.startswith("%") and (".json" in text)]
    assert not [text for text in texts(inference) if "import" in text.partition("$import")[0] and "@" in text]
    assert inference["bundle_root"] == training["bundle_root"] == "." and "output_dir" in training
    order = ["imports", "bundle_root", "dataset_dir", "output_dir", "max_epochs", "device", "network_def", "network",
             "loss", "optimizer", "train", "validate", "initialize", "run"]
    assert [key for key in training if key in order] == order
    assert list(training["train"])[-1] == "trainer" and list(training["validate"])[-1] == "evaluator"
    assert all(isinstance(each, dict) for each in training["train"]["handlers"])
    (validation,) = [each for each in training["train"]["handlers"] if each["_target_"] == "ValidationHandler"]
    assert validation["interval"] == "@val_interval" and "data" in training["validate"]["dataset"]
    assert list(meta["network_data_format"]["inputs"]) == ["image"]
    assert "channel_def" in meta["network_data_format"]["outputs"]["pred"]
    weights = {path.name: torch.load(path, weights_only=True) for path in (exported / "models").glob("*.pt")}
    assert min(weights, key=len) == "model.pt"  # MONAI Label takes the shortest name
    assert all(torch.is_tensor(value) for state in weights.values() for value in state.values())
    named = [text.rpartition("/")[2].rstrip("'") for text in texts(configs["evaluate"]) if "/models/" in text]
    assert set(named) <= set(weights)
    given = {key: value for key, value in given.items() if key in training}
    workflow = ConfigWorkflow(str(exported / "configs/train.json"), meta_file=str(exported / "configs/metadata.json"),
                              logging_file=str(exported / "configs/logging.conf"), workflow_type="train",
                              bundle_root=str(exported), dataset_dir=str(dataset), output_dir=str(out / "out"),
                              ckpt_dir=str(out / "out"), workers=0, **given)
    workflow.initialize()
    assert workflow.check_properties() == []
    served = monai.bundle.create_workflow(
        workflow_type="infer", config_file=str(exported / "configs/inference.json"), dataset_dir=str(exam),
        meta_file=str(exported / "configs/metadata.json"), logging_file=str(exported / "configs/logging.conf"),
        bundle_root=str(exported), output_dir=str(out / "answers"))
    assert served.check_properties() == []
