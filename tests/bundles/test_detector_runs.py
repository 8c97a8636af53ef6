"""The curriculum bundle's detectors from prepared breasts to boxes: trained, resumed, evaluated, exported, asked."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from commands import ROOT
from monai.bundle import ConfigWorkflow
from monai.bundle.scripts import verify_metadata
from monai_label import infer
from tiny_exports import record
from zoo_rules import check_zoo_rules

from pipeline.__main__ import main as pipeline
from pipeline.breast_mri.boxes import detections
from pipeline.errors import one_line
from pipeline.serve.export import loaded
from pipeline.serve.label_app import trains_on_raw_exams
from transforms import KineticChannelsd, LoadPreparedd

pytestmark = pytest.mark.slow

CONFIGS = ROOT / "bundles" / "breast_mri_curriculum" / "configs"
SIZES = {"stage_widths": [4, 4, 4, 8, 8], "pyramid_width": 8, "head_width": 8, "score_from": 0.01}
OPTIONS: dict[str, dict[str, Any]] = {
    "retina_unet": {"best_epochs": 1},
    "mask_rcnn": {"train_patch": [64, 64, 8], "best_by": "precision", "best_epochs": 2}}
DETECTORS = {"retina_unet": ["train", "retina_unet"], "mask_rcnn": ["train", "retina_unet", "mask_rcnn"]}
STEPS = {"max_epochs": 2, "batch_size": 2, "cases_per_epoch": 4, "resume": True}


def run(names: list[str], out: Path, prepared: Path, **settings: Any) -> None:
    workflow = ConfigWorkflow([str(CONFIGS / f"{name}.yaml") for name in names], workflow_type="train",
                              logging_file=False, bundle_root=str(CONFIGS.parent), dataset_dir=str(prepared), fold=1,
                              output_dir=str(out), workers=0, quiet=True, **SIZES, **settings)
    workflow.initialize()
    workflow.run()


@pytest.fixture(scope="module", params=list(DETECTORS))
def studied(request, tiny_prepared, tmp_path_factory) -> tuple[str, Path]:
    """A study of one fold: two epochs of two steps on a few breasts, and their evaluation."""
    name, study = request.param, tmp_path_factory.mktemp(request.param)
    place = study / name / "fold1"
    run(DETECTORS[name], place / "breasts", tiny_prepared, ckpt_dir=str(place / "breasts"), **STEPS, **OPTIONS[name])
    run([*DETECTORS[name], "evaluate_boxes"], place, tiny_prepared, weights=str(place / "breasts" / "model.pt"))
    (study / "prepared").mkdir()
    (study / "prepared" / "config.yaml").write_text(yaml.safe_dump({"matrix": [128, 128, 8], "rows": 64,
                                                                    "align": False}))
    record(study, CONFIGS.parent.name, name, fold=1)
    return name, study


@pytest.fixture(scope="module")
def exported(studied, tmp_path_factory) -> Path:
    """The study's export, as for every other variant."""
    name, study = studied
    folder = tmp_path_factory.mktemp("exported")
    assert pipeline(["export", str(CONFIGS.parent), "--run", str(study), "--variant", name, "--fold", "1", "-o",
                     str(folder)]) == 0
    return folder / CONFIGS.parent.name


@pytest.fixture
def exam(phantom_cohort, tmp_path) -> Path:
    """An exam as hosts have it: one image that viewers show, and beside it all its files."""
    beside = shutil.copytree(phantom_cohort.path(0).parent, tmp_path / "studies" / "p1.exam")
    (beside / "lesions_mask.nii.gz").unlink()
    return Path(shutil.copy(beside / "post1.nii.gz", tmp_path / "studies" / "p1.nii.gz"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_resumed_training_equals_an_uninterrupted_one(studied, tiny_prepared, tmp_path) -> None:
    name, study = studied
    folder = study / name / "fold1" / "breasts"
    for epochs in (1, 2):
        run(DETECTORS[name], tmp_path, tiny_prepared, ckpt_dir=str(tmp_path),
            **{**STEPS, **OPTIONS[name], "max_epochs": epochs})
    one, other = (torch.load(place / "resume.pt", weights_only=True) for place in (folder, tmp_path))
    assert one["epoch"] == other["epoch"] == 2 and one["best_metric"] == other["best_metric"]
    assert all(torch.equal(tensor, other["network"][key]) for key, tensor in one["network"].items())
    weights = sorted(path.name for path in folder.glob("model*.pt"))
    assert weights == ["model.pt", *["model_epoch1.pt", "model_epoch2.pt"] * (OPTIONS[name]["best_epochs"] == 2)]
    assert all((folder / each).read_bytes() == (tmp_path / each).read_bytes() for each in weights)


def test_an_evaluation_is_a_table_of_every_breast_and_of_its_boxes(studied, tiny_prepared) -> None:
    name, study = studied
    place = study / name / "fold1"
    rows = {(row["exam_id"], row["side"]): row for row in table(place / "predictions.csv")}
    listed = json.loads((tiny_prepared / "prepared.json").read_text())["breasts"]
    wanted = {(b["exam_id"], b["side"]): b for b in listed if b["splits"][1] != "train"}
    assert rows.keys() == wanted.keys()
    best = dict.fromkeys(rows, 0.0)
    for box in table(place / "detections.csv"):
        if box["class"] == "malignant":
            best[box["exam_id"], box["side"]] = max(best[box["exam_id"], box["side"]], float(box["score"]))
    assert {key: float(row["score"]) for key, row in rows.items()} == pytest.approx(best, abs=2e-6)
    outlined = {(row["exam_id"], row["side"]) for row in table(place / "outlines.csv")}
    assert outlined == {key for key, breast in wanted.items() if breast["outlines"]["marks"]}
    assert len(table(place / "localisation.csv")) == sum(
        b["malignant"] for b in wanted.values() if b["splits"][1] == "test")


def test_what_was_evaluated_alone_is_exported_alone(studied, tmp_path) -> None:
    name, study = studied
    alone = Path(shutil.copytree(study, tmp_path / "study"))
    settings = alone / name / "fold1" / "config.evaluate.yaml"
    settings.write_text(yaml.safe_dump({**yaml.safe_load(settings.read_text()), "more_weights": []}))
    assert pipeline(["export", str(CONFIGS.parent), "--run", str(alone), "--variant", name, "--fold", "1", "-o",
                     str(tmp_path)]) == 0
    folder = tmp_path / CONFIGS.parent.name
    assert [path.name for path in (folder / "models").glob("*.pt")] == ["model.pt"]
    for config in ("inference", "evaluate"):
        assert json.loads((folder / "configs" / f"{config}.json").read_text())["more_weights"] == []


def test_an_export_gives_the_boxes_of_its_evaluation(studied, exported, tiny_prepared) -> None:
    """Those of one network, and those merged of two epochs'."""
    name, study = studied
    place = study / name / "fold1"
    parser = loaded(exported, ("network_def",), device="cpu")
    network = parser.get_parsed_content("network_def").eval()
    state = torch.load(place / "breasts" / "model.pt", weights_only=True)
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    inferer = parser.get_parsed_content("inferer")
    assert len(inferer.more_weights) == OPTIONS[name]["best_epochs"] - 1
    assert {path.parent for path in inferer.more_weights} <= {exported / "models"}
    settings = parser.get_parsed_content("channels"), parser.get_parsed_content("gains")
    boxes = table(place / "detections.csv")
    for case in detections(tiny_prepared, 1, "test", everything=True)[:2]:
        image = KineticChannelsd("image", *settings)(LoadPreparedd("image")(case))["image"]
        (found,) = inferer(image[None], network)
        own = [float(row["score"]) for row in boxes if (row["exam_id"], row["side"]) == (case["exam_id"], case["side"])]
        assert own and sorted(found["scores"].tolist()) == pytest.approx(sorted(own), abs=2e-5)


def test_every_host_gives_the_same_answer(exported, exam, tmp_path, monkeypatch) -> None:
    """`monai.bundle run`, `predict`, and what MONAI Label's server does, which takes the first of an inferer's list."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    monai.bundle.run(config_file=str(exported / "configs" / "inference.json"), bundle_root=str(exported),
                     dataset_dir=str(exam), output_dir="../run")
    assert pipeline(["predict", str(exported), str(exam), "-o", str(tmp_path / "predicted")]) == 0
    served = infer(exported, exam)
    told, same = (json.loads((tmp_path / name / "p1_result.json").read_text()) for name in ("run", "predicted"))
    assert told == same and told["boxes"] == served["result"]["boxes"] and told["decision"]
    assert set(told["boxes"][0]) == {"side", "class", "score", "center_mm", "size_mm"}
    worst = max((box["score"] for box in told["boxes"] if box["class"] == "malignant"), default=0.0)
    assert told["probability"] == pytest.approx(worst, abs=2e-6) and worst > 0
    heat = nib.load(tmp_path / "run" / "p1_heatmap.nii.gz")
    np.testing.assert_allclose(heat.get_fdata(), served["pred"][0].numpy(), atol=1e-6)
    assert heat.get_fdata().max() == pytest.approx(worst, abs=1 / 255)
    levels = infer(exported, exam, result_dtype="uint8", result_extension=".nrrd")
    assert levels["pred"].dtype == torch.uint8


def test_the_zoo_s_rules_hold(studied, exported, exam, tiny_prepared, tmp_path) -> None:
    """All but two of MONAI's own checks: a detector's answer is no tensor, and TorchScript takes none but tensors."""
    name, _ = studied
    check_zoo_rules(exported, tiny_prepared, exam, tmp_path)
    path = exported / "configs" / "metadata.json"
    verify_metadata(str(path), filepath=Path(__file__).parent / "schema_20240725.json")
    meta = json.loads(path.read_text())
    answered = meta["network_data_format"]["outputs"]["pred"]
    assert (answered["type"], answered["format"]) == ("object", "dict") and "detector" in meta["description"]
    training = json.loads((exported / "configs" / "train.json").read_text())
    assert training["network_def"]["_target_"].endswith({"retina_unet": ".RetinaUNet", "mask_rcnn": ".MaskRCNN"}[name])
    assert not trains_on_raw_exams(exported)  # MONAI Label's class labels are not enough


def test_an_export_evaluates_as_the_study_did(studied, exported, tiny_prepared, tmp_path) -> None:
    name, study = studied
    if name == "mask_rcnn":
        pytest.skip("is evaluated by the same config, at four times the time")
    files = [str(exported / "configs" / f"{each}.json") for each in ("train", "evaluate")]
    workflow = ConfigWorkflow(files, workflow_type="train", logging_file=False, bundle_root=str(exported),
                              dataset_dir=str(tiny_prepared), output_dir=str(tmp_path / "again"), workers=0, fold=1)
    workflow.initialize()
    workflow.run()
    for table_of in ("predictions.csv", "detections.csv"):
        assert table(tmp_path / "again" / table_of) == table(study / name / "fold1" / table_of)


def test_further_epochs_of_another_fold_are_refused(studied, tiny_prepared, tmp_path) -> None:
    name, study = studied
    weights = study / name / "fold1" / "breasts" / "model.pt"
    copied = shutil.copy(weights, tmp_path / "other.pt")
    receipt = json.loads(weights.with_name("model.pt.receipt.json").read_text())
    receipt["about"]["fold"] = 0
    (tmp_path / "other.pt.receipt.json").write_text(json.dumps(receipt))
    with pytest.raises(RuntimeError) as error:
        run([*DETECTORS[name], "evaluate_boxes"], tmp_path / "out", tiny_prepared, weights=str(weights),
            more_weights=[str(copied)])
    assert "other.pt: trained in fold 0, this is fold 1" in str(one_line(error.value))
