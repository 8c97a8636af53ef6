"""The curriculum bundle's detectors from prepared breasts to boxes: trained, resumed, evaluated, exported, asked."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ROOT
from monai.bundle import ConfigWorkflow

from pipeline.__main__ import main as pipeline
from pipeline.answers import run as answer
from pipeline.breast_mri.boxes import detections
from pipeline.serve.export import loaded
from transforms import KineticChannelsd, LoadPreparedd

pytestmark = pytest.mark.slow

CONFIGS = ROOT / "bundles" / "breast_mri_curriculum" / "configs"
SIZES = {"stage_widths": [4, 4, 4, 8, 8], "pyramid_width": 8, "head_width": 8, "score_from": 0.01}
OPTIONS: dict[str, dict[str, Any]] = {
    "retina_unet": {}, "mask_rcnn": {"train_patch": [64, 64, 8], "best_by": "precision"}}
DETECTORS = {"retina_unet": ["train", "retina_unet"], "mask_rcnn": ["train", "retina_unet", "mask_rcnn"]}


def run(names: list[str], out: Path, prepared: Path, **settings: Any) -> None:
    workflow = ConfigWorkflow([str(CONFIGS / f"{name}.yaml") for name in names], workflow_type="train",
                              logging_file=False, bundle_root=str(CONFIGS.parent), dataset_dir=str(prepared), fold=1,
                              output_dir=str(out), workers=0, quiet=True, **SIZES, **settings)
    workflow.initialize()
    workflow.run()


@pytest.fixture(scope="module", params=list(DETECTORS))
def trained(request, tiny_prepared, tmp_path_factory) -> tuple[str, Path]:
    """Two epochs of two steps on a few breasts."""
    folder = tmp_path_factory.mktemp(request.param)
    run(DETECTORS[request.param], folder, tiny_prepared, ckpt_dir=str(folder), max_epochs=2, batch_size=2,
        cases_per_epoch=4, resume=True, **OPTIONS[request.param])
    return request.param, folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_resumed_training_equals_an_uninterrupted_one(trained, tiny_prepared, tmp_path) -> None:
    name, folder = trained
    for epochs in (1, 2):
        run(DETECTORS[name], tmp_path, tiny_prepared, ckpt_dir=str(tmp_path), max_epochs=epochs, batch_size=2,
            cases_per_epoch=4, resume=True, **OPTIONS[name])
    one, other = (torch.load(place / "resume.pt", weights_only=True) for place in (folder, tmp_path))
    assert one["epoch"] == other["epoch"] == 2 and one["best_metric"] == other["best_metric"]
    assert all(torch.equal(tensor, other["network"][key]) for key, tensor in one["network"].items())


def test_an_evaluation_is_a_table_of_every_breast_and_of_its_boxes(trained, tiny_prepared, tmp_path) -> None:
    name, folder = trained
    run([*DETECTORS[name], "evaluate_boxes"], tmp_path, tiny_prepared, weights=str(folder / "model.pt"))
    rows = {(row["exam_id"], row["side"]): row for row in table(tmp_path / "predictions.csv")}
    listed = json.loads((tiny_prepared / "prepared.json").read_text())["breasts"]
    wanted = {(b["exam_id"], b["side"]): b for b in listed if b["splits"][1] != "train"}
    assert rows.keys() == wanted.keys()
    best = dict.fromkeys(rows, 0.0)
    for box in table(tmp_path / "detections.csv"):
        if box["class"] == "malignant":
            best[box["exam_id"], box["side"]] = max(best[box["exam_id"], box["side"]], float(box["score"]))
    assert {key: float(row["score"]) for key, row in rows.items()} == pytest.approx(best, abs=2e-6)
    outlined = {(row["exam_id"], row["side"]) for row in table(tmp_path / "outlines.csv")}
    assert outlined == {key for key, breast in wanted.items() if breast["outlines"]["marks"]}
    assert len(table(tmp_path / "localisation.csv")) == sum(
        b["malignant"] for b in wanted.values() if b["splits"][1] == "test")


def test_exported_weights_give_the_same_boxes_and_an_exam_is_answered(trained, tiny_prepared, phantom_cohort,
                                                                      tmp_path) -> None:
    name, folder = trained
    sizes = tmp_path / "sizes.yaml"
    sizes.write_text(yaml.safe_dump({**SIZES, "matrix": [128, 128, 8], "rows": 64, "align": False}))
    overlays = [CONFIGS / "inference_boxes.yaml", *([CONFIGS / "mask_rcnn.yaml"] if name == "mask_rcnn" else []), sizes]
    assert pipeline(["export", str(CONFIGS.parent), "--weights", f"weights={folder / 'model.pt'}", "-o",
                     str(tmp_path / "out"), *(word for path in overlays for word in ("--overlay", str(path)))]) == 0
    exported = tmp_path / "out" / CONFIGS.parent.name
    parser = loaded(exported, ("network_def",), device="cpu")
    network = parser.get_parsed_content("network_def").eval()
    state = torch.load(folder / "model.pt", weights_only=True)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    run([*DETECTORS[name], "evaluate_boxes"], tmp_path / "evaluated", tiny_prepared, weights=str(folder / "model.pt"))
    rows = {(row["exam_id"], row["side"]): row for row in table(tmp_path / "evaluated" / "predictions.csv")}
    case = next(case for case in detections(tiny_prepared, 1, "test", everything=True))
    settings = parser.get_parsed_content("channels"), parser.get_parsed_content("gains")
    image = KineticChannelsd("image", *settings)(LoadPreparedd("image")(case))["image"]
    (found,) = network(image[None])
    malignant = found["scores"][found["labels"] == 2]
    score = float(rows[case["exam_id"], case["side"]]["score"])
    assert score == pytest.approx(float(malignant.max()) if len(malignant) else 0.0, abs=2e-5)

    exam = shutil.copytree(phantom_cohort.path(0).parent, tmp_path / "E0001")
    (exam / "lesions_mask.nii.gz").unlink()
    asked = loaded(exported, ("evaluator",), device="cpu", dataset_dir=str(exam), output_dir=str(tmp_path / "answer"))
    answer(asked.get_parsed_content("evaluator"))
    told = json.loads((tmp_path / "answer" / "E0001_result.json").read_text())
    assert told["boxes"] and set(told["boxes"][0]) == {"side", "class", "score", "center_mm", "size_mm"}
    worst = max((box["score"] for box in told["boxes"] if box["class"] == "malignant"), default=0.0)
    assert told["probability"] == pytest.approx(worst, abs=2e-6)
