"""What holds for every bundle: MONAI's own checks, one layout, and configs that agree with each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from commands import ROOT
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.scripts import ckpt_export, verify_metadata, verify_net_in_out

BUNDLES = [p for p in sorted((ROOT / "bundles").iterdir()) if (p / "configs").is_dir()]
CONFIGS = [p for bundle in BUNDLES for p in sorted((bundle / "configs").glob("*.yaml"))]
COMMON = sorted((ROOT / "bundles" / "common").glob("*.yaml"))
TRAININGS = [  # train.yaml, and with each overlay on it that trains
    [bundle / "configs" / "train.yaml", *overlay]
    for bundle in BUNDLES
    for overlay in [[], *([p] for p in sorted((bundle / "configs").glob("*.yaml"))
                          if p.read_text().startswith("# Overlay on train.yaml") and p.stem != "evaluate")]
]

UNITS = r"§|Ours|epoch|voxel|degree|mm|breast|process|fold|part|channel|map|row|level|axes"

# What differs between bundles: the fixture of prepared data, settings that make inference small, the network's input,
# and the settings that prepare.yaml and inference.yaml must share.
PREPARED = {"breast_mri_curriculum": "tiny_prepared", "breast_mri_transfer": "tiny_lesions",
            "breast_ultrasound_center_point": "tiny_crops", "mammography_attention": "tiny_views"}
GIVEN = {"breast_mri_curriculum": {"backbone": None}, "breast_mri_transfer": {"weights": None}}
SMALL = {
    "breast_mri_curriculum": {"matrix": [128, 128, 8], "rows": 64, "spread": 2.0},
    "breast_mri_transfer": {"patch_size": 12, "shrink_factor": [1, 1, 1], "iterations": [2], "image_size": 64},
    "breast_ultrasound_center_point": {"shape": [8, 32, 32], "step": [8, 16, 16], "widths": [4, 4, 4, 4]},
    "mammography_attention": {"layers": 18, "widen": 0.125, "width": 48, "size": 48, "region": 32},
}
INPUT = {"breast_mri_curriculum": (64, 64, 8), "breast_mri_transfer": (64, 64),
         "breast_ultrasound_center_point": (8, 64, 64), "mammography_attention": (64, 64)}
SHARED = {
    "breast_mri_curriculum": ("channels", "matrix", "rows", "field_of_view", "align"),
    "breast_mri_transfer": ("patch_size", "extent", "subtraction", "shrink_factor", "iterations", "shared"),
    "breast_ultrasound_center_point": ("axes", "spacing"),
    "mammography_attention": ("stored", "check_side"),
}
EXAMS = {"breast_ultrasound_center_point": "ultrasound_cohort",  # of inference; the others have MRI
         "mammography_attention": "mammography_cohort"}

each_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
each_config = pytest.mark.parametrize(
    "path", CONFIGS + COMMON, ids=lambda path: f"{path.relative_to(ROOT / 'bundles').parts[0]}-{path.stem}")


def config(bundle: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text())


def leaves(content: Any) -> Iterator[Any]:
    if isinstance(content, (dict, list)):
        for value in content.values() if isinstance(content, dict) else content:
            yield from leaves(value)
    else:
        yield content


@each_bundle
def test_layout_and_name(bundle) -> None:
    assert not re.search("classification|detection|deepedit|deepgrow", bundle.name)  # MONAI Label reads the name
    for file in ("LICENSE", "configs/logging.conf", "configs/metadata.json", "docs/README.md", "docs/data_license.txt"):
        assert (bundle / file).is_file()
    # MONAI puts the bundle's folder on sys.path: these would hide the packages.
    assert not any((bundle / name).exists() for name in ("transforms", "pipeline", "data_lists"))
    assert not list(bundle.rglob("*.yml")) and not list((bundle / "configs").glob("train.json"))


@pytest.mark.parametrize("files", TRAININGS, ids=lambda files: "+".join(p.stem for p in files))
def test_training_has_the_properties_that_monai_asks_for(files, request, tmp_path) -> None:
    prepared = request.getfixturevalue(PREPARED[files[0].parents[1].name])
    given = dict(GIVEN.get(files[0].parents[1].name, {}))
    if files[-1].stem == "attention":  # what the model before it leaves
        given |= {"regions": str(prepared / "regions.json"), "holistic": str(prepared / "holistic.pt"), "layers": 18,
                  "widen": 0.125}
    workflow = ConfigWorkflow([str(p) for p in files], workflow_type="train", logging_file=False,
                              bundle_root=str(files[0].parents[1]), dataset_dir=str(prepared), **given,
                              output_dir=str(tmp_path), ckpt_dir=str(tmp_path), workers=0)
    workflow.initialize()
    assert workflow.check_properties() == []
    assert len(workflow.train_dataset) > 0 and workflow.max_epochs > 1
    listed = json.loads((prepared / "prepared.json").read_text())
    cases = [case for part in listed.values() if isinstance(part, list) for case in part if "splits" in case]
    patients = {name: {case["patient_id"] for case in workflow.parser.get_parsed_content(f"{name}#dataset#data")}
                for name in ("train", "validate")}
    patients["test"] = {case["patient_id"] for case in cases if case["splits"][0] == "test"}
    assert all(patients.values()) and len(set.union(*patients.values())) == sum(map(len, patients.values()))
    if files[-1].stem == "attention":  # it starts from the holistic weights
        first = torch.load(prepared / "holistic.pt", weights_only=True)["conv1.weight"]
        assert torch.equal(workflow.parser.get_parsed_content("network_def").conv1.weight, first)


@each_bundle
def test_inference_works_from_any_folder(bundle, request, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = request.getfixturevalue(EXAMS.get(bundle.name, "phantom_cohort"))
    exam = cohort.path(0).parent
    given = {**SMALL[bundle.name], "load_pretrain": False}
    if bundle.name == "breast_mri_transfer":
        given["lesions"] = str(cohort.folder / "lesions.csv")
    workflow = ConfigWorkflow(str(bundle / "configs" / "inference.yaml"), workflow_type="infer", logging_file=False,
                              bundle_root=str(bundle), dataset_dir=str(exam), output_dir=str(tmp_path / "out"), **given)
    workflow.initialize()
    assert workflow.check_properties() == []
    workflow.run()
    assert len(list((tmp_path / "out").glob(f"{exam.name}_*.json"))) == 1


@each_bundle
def test_metadata_follow_the_schema(bundle) -> None:
    # A schema file that is there is not downloaded.
    verify_metadata(str(bundle / "configs" / "metadata.json"), filepath=Path(__file__).parent / "schema_20240725.json")
    meta = ConfigParser.load_config_file(bundle / "configs" / "metadata.json")
    channels = config(bundle, "inference").get("channels", ["image"])
    image = meta["network_data_format"]["inputs"]["image"]
    assert next(iter(meta["network_data_format"]["inputs"])) == "image"  # MONAI Label takes the first of each
    assert next(iter(meta["network_data_format"]["outputs"])) == "pred"
    assert image["num_channels"] == len(channels)


@each_bundle
def test_network_fits_its_metadata(bundle) -> None:
    verify_net_in_out("network_def", str(bundle / "configs" / "metadata.json"),
                      str(bundle / "configs" / "inference.yaml"), device="cpu")


@each_bundle
def test_export_to_torchscript(bundle, tmp_path) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.yaml"))
    network = parser.get_parsed_content("network_def").eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # what starts at zero too
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export("network_def", filepath=str(tmp_path / "model.ts"), ckpt_file=str(tmp_path / "model.pt"),
                meta_file=str(bundle / "configs" / "metadata.json"),
                config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle))
    image = torch.randn(1, len(parser.get("channels", ["image"])), *INPUT[bundle.name])
    with torch.no_grad():
        assert torch.equal(torch.jit.load(tmp_path / "model.ts")(image), network(image))


@each_bundle
def test_keys_of_train_stand_in_one_order(bundle) -> None:
    keys = list(config(bundle, "train"))
    wanted = ["imports", "bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "max_epochs", "network_def",
              "network", "loss", "optimizer", "train", "validate", "initialize", "run"]
    assert [key for key in keys if key in wanted] == wanted
    lines = (bundle / "configs" / "train.yaml").read_text().splitlines()
    parts = ["# paths", "# hyperparameters", "# network", "# loss", "# optimizer", "# run"]
    assert [line for line in lines if line in parts] == parts


@pytest.mark.parametrize("path", [p for p in CONFIGS if not p.stem.startswith("demo_") and p.stem != "study"],
                         ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_settings_say_their_unit_or_where_they_come_from(path) -> None:
    for line in path.read_text().splitlines():
        found = re.match(r"([a-z]\w*): (-?\d|\[)", line)
        if found and found[1] != "seed":
            comment = line.partition("  # ")[2]
            assert re.search(UNITS, comment), line


@pytest.mark.parametrize("name", ["prepare", "train"])
@each_bundle
def test_what_a_paper_would_say_is_cited_or_ours(bundle, name) -> None:
    asked = {"channels", "matrix", "rows", "lr", "max_epochs", "batch_size", "rotation", "patience", "gains"}
    for line in (bundle / "configs" / f"{name}.yaml").read_text().splitlines():
        if line.split(":")[0] in asked:
            assert "§" in line or "Ours" in line, line


@each_bundle
def test_configs_agree(bundle) -> None:
    train, inference, prepare = (config(bundle, name) for name in ("train", "inference", "prepare"))
    started = {k: v for k, v in train["network_def"].items() if k != "weights"}  # what inference loads anyway
    assert started == inference["network_def"]
    for key in train.keys() & inference.keys() & {"channels", "gains", "shown", "image_size", "top", "sub_range"}:
        assert train[key] == inference[key]
    for key in SHARED[bundle.name]:
        assert prepare[key] == inference[key]
    demo = {name: bundle / "configs" / f"demo_{name}.yaml" for name in ("prepare", "inference")}
    if demo["prepare"].is_file():
        first, second = (yaml.safe_load(path.read_text()) for path in demo.values())
        assert {key: value for key, value in first.items() if key in inference}.items() <= second.items()

    def steps(content: dict[str, Any]) -> list[dict[str, Any]]:
        between = ("transforms.LoadPreparedd", "transforms.LoadSliced",
                   "pipeline.breast_mri.answer_lesions.StackPatchesd")
        return [{key: value for key, value in step.items() if key != "sides"}  # in prepare, a matter of each exam
                for step in content if step["_target_"] not in between]

    # Inference prepares like prepare.yaml and then goes on like train.yaml. Whole volumes are cut after they are read:
    # tests/unit/pipeline/test_volumes.py holds that their windows are crops. Both mammography models answer one exam:
    # tests/bundles/test_mammography_runs.py holds that its scores are those of evaluation.
    if bundle.name in ("breast_ultrasound_center_point", "mammography_attention"):
        return
    first = prepare["preprocessing"]
    wanted = steps(first.get("transforms", [first]) + train["train"]["deterministic_transforms"])
    assert steps(inference["preprocessing"]["transforms"]) == wanted


@each_bundle
def test_handlers_are_a_literal_list(bundle) -> None:
    handlers = config(bundle, "train")["train"]["handlers"]  # MONAI Label walks it
    assert isinstance(handlers, list) and all(isinstance(h, dict) and "_target_" in h for h in handlers)
    validation = next(h for h in handlers if h["_target_"] == "ValidationHandler")
    assert validation["validator"] == "@validate#evaluator" and validation["interval"] == "@val_interval"


@each_config
def test_numbers_are_numbers_and_files_stand_alone(path) -> None:
    for value in leaves(yaml.safe_load(path.read_text())):
        if isinstance(value, str):
            assert not re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", value), f"{value} is a text"
            assert not re.match(r"%.*\.(ya?ml|json)", value), f"{value} would be looked for in the working directory"
            assert not re.search(r"/home/|/data/|/mnt/|/tmp/", value)


@each_config
def test_targets_can_be_imported(path) -> None:
    """Every class of ours that a config names is there, with its full dotted path."""
    import importlib

    for target in re.findall(r"_target_: ((?:pipeline|transforms|ignite|torch)\.[\w.]+)", path.read_text()):
        module, _, name = target.rpartition(".")
        assert hasattr(importlib.import_module(module), name), target


@each_config
def test_a_config_opens_with_what_it_is(path) -> None:
    first, *rest = path.read_text().splitlines()
    assert first.startswith("# ") and len(first) > 20
    if path.parent.name == "configs" and not path.stem.startswith("demo_") and path.stem != "study":
        assert any("monai.bundle run" in line for line in rest if line.startswith("#"))  # the command that launches it
