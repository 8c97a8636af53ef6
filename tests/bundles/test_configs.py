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

# By modality and by what an exam is divided into, so that a bundle more needs no entry: what tests must know of a
# bundle stands in the bundle.
COHORTS = {"MR": "phantom_cohort", "US": "ultrasound_cohort", "MG": "mammography_cohort"}
PREPARED = {"breasts": "tiny_prepared", "lesions": "tiny_lesions", "crops": "tiny_crops", "images": "tiny_views",
            "exams": "tiny_exams"}
PATHS = {"bundle_root", "dataset_dir", "output_dir", "device"}  # keys that no two configs need to share
WEIGHTS = {"weights", "backbone"}  # keys of files that a training may start from
# The same layers with fewer weights: a bottleneck of 50 layers is that of 101.
NARROW = {"layers": 50, "widen": 0.125, "widths": [4, 8, 16, 32], "trunk": [4, 8, 16, 32], "depth_channels": 8}

each_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
each_config = pytest.mark.parametrize(
    "path", CONFIGS + COMMON, ids=lambda path: f"{path.relative_to(ROOT / 'bundles').parts[0]}-{path.stem}")


def config(bundle: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((bundle / "configs" / f"{name}.yaml").read_text())


def image_of(bundle: Path) -> dict[str, Any]:
    """The input image, as `metadata.json` describes it."""
    meta = json.loads((bundle / "configs" / "metadata.json").read_text())
    return meta["network_data_format"]["inputs"]["image"]


def unit_of(bundle: Path, cohort: Any) -> Any:
    """What `prepare.yaml` divides an exam into."""
    parser = ConfigParser({**config(bundle, "prepare"), "datalist": str(cohort.list)})
    return parser.get_parsed_content("unit")


def settings(content: dict[str, Any]) -> dict[str, Any]:
    """The settings at the top of a config: what is neither a path, a component nor an expression."""
    return {key: value for key, value in content.items() if key not in {*PATHS, "imports", "initialize", "run"}
            and not isinstance(value, dict) and not str(value).startswith("$")}


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
    bundle = files[0].parents[1]
    cohort = request.getfixturevalue(COHORTS[image_of(bundle)["modality"]])
    prepared = request.getfixturevalue(PREPARED[unit_of(bundle, cohort).name])
    merged = ConfigParser.load_config_files([str(p) for p in files])
    given: dict[str, Any] = dict.fromkeys(WEIGHTS & merged.keys())
    left = {key: path for key in merged for ending in ("pt", "json")  # by the stages before it
            if (path := prepared / f"{key}.{ending}").is_file()}
    if left:
        given |= {key: str(path) for key, path in left.items()} | json.loads((prepared / "settings.json").read_text())
    if "batch_size" in merged:
        given["batch_size"] = 1  # a full one is more than the test's cohort has, and no epoch
    workflow = ConfigWorkflow([str(p) for p in files], workflow_type="train", logging_file=False,
                              bundle_root=str(bundle), dataset_dir=str(prepared), **given,
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
    for path in left.values():  # a model among them is what it starts from
        if path.suffix == ".pt":
            network = workflow.parser.get_parsed_content("network_def")
            for name, tensor in torch.load(path, weights_only=True).items():
                assert torch.equal(network.state_dict()[name], tensor)


@each_bundle
def test_inference_works_from_any_folder(bundle, request, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    cohort = request.getfixturevalue(COHORTS[image_of(bundle)["modality"]])
    exam = cohort.path(0).parent
    files = [str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "demo_inference")]
    asked = re.findall(r"^(\w+): null  # asked for", Path(files[0]).read_text(), re.MULTILINE)
    tables = {key: str(cohort.folder / f"{key}.csv") for key in asked if key != "dataset_dir"}
    workflow = ConfigWorkflow(files, workflow_type="infer", logging_file=False, bundle_root=str(bundle),
                              dataset_dir=str(exam), output_dir=str(tmp_path / "out"), load_pretrain=False, **tables)
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
    """Shapes and types at full size, worked out without computing."""
    verify_net_in_out("network_def", str(bundle / "configs" / "metadata.json"),
                      str(bundle / "configs" / "inference.yaml"), device="meta")


@each_bundle
def test_export_to_torchscript(bundle, tmp_path) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.yaml"))
    narrow = {name: value for name, value in NARROW.items() if name in parser.config}
    parser.update(narrow)
    network = parser.get_parsed_content("network_def").eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # what starts at zero too
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ckpt_export("network_def", filepath=str(tmp_path / "model.ts"), ckpt_file=str(tmp_path / "model.pt"),
                meta_file=str(bundle / "configs" / "metadata.json"),
                config_file=str(bundle / "configs" / "inference.yaml"), bundle_root=str(bundle), **narrow)
    described = image_of(bundle)
    image = torch.randn(1, described["num_channels"], *(min(n, 64) for n in described["spatial_shape"]))
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
    trained, answered, first = settings(train), settings(inference), settings(prepare)
    for key in trained.keys() & answered.keys() - WEIGHTS:
        assert trained[key] == answered[key]
    for key in first.keys() & answered.keys() - trained.keys():
        assert first[key] == answered[key]
    assert set(answered.get("channels", ())) <= set(first.get("channels", ()))
    demo = {name: bundle / "configs" / f"demo_{name}.yaml" for name in ("prepare", "inference")}
    if demo["prepare"].is_file():
        small, smaller = (yaml.safe_load(path.read_text()) for path in demo.values())
        assert {key: value for key, value in small.items() if key in inference}.items() <= smaller.items()


@each_bundle
def test_inference_prepares_as_training_does(bundle) -> None:
    """It loads like prepare.yaml; and where training validates with its own deterministic steps, it goes on like them.

    Ultrasound maps whole volumes, whose windows tests/unit/pipeline/explain/test_windows.py holds to be crops.
    Mammography and it validate in steps of their own: tests of their runs hold inference's scores to be evaluation's.
    """
    train, inference, prepare = (config(bundle, name) for name in ("train", "inference", "prepare"))
    given = inference["preprocessing"]["transforms"]
    given = given[next(i for i, step in enumerate(given) if step["_target_"].startswith("transforms.Load")):]
    loader = {key: value for key, value in given[0].items() if key != "sides"}  # in prepare, a matter of each exam
    if loader["_target_"] == prepare["preprocessing"]["_target_"]:
        assert loader == prepare["preprocessing"]
    if train["validate"]["preprocessing"]["transforms"] == "%train#deterministic_transforms":
        steps = train["train"]["deterministic_transforms"]
        assert steps[0]["_target_"].startswith("transforms.Load")  # what was prepared
        assert given[len(given) - len(steps) + 1:] == steps[1:]


@pytest.mark.parametrize("files", TRAININGS, ids=lambda files: "+".join(p.stem for p in files))
def test_the_smoke_overlay_fits_every_training_at_both_sizes(files) -> None:
    """One epoch must validate, or there is no best one; an epoch of four cases must hold a step."""
    demos = [path for path in sorted(files[0].parent.glob("demo_*.yaml"))
             if path.stem not in ("demo_prepare", "demo_inference", "demo_evaluate", "demo_comparator")]
    for demo in [[], *([path] for path in demos)]:
        stack = [*files, *demo, ROOT / "bundles" / "common" / "smoke.yaml"]
        merged = ConfigParser.load_config_files([str(path) for path in stack])
        assert merged["val_interval"] <= merged["max_epochs"] == 1
        assert merged["batch_size"] <= merged["cases_per_epoch"] <= 4
        assert merged["batch_size"] <= config(files[0].parents[1], "train")["batch_size"]  # exams that differ in shape


@pytest.mark.parametrize("part", ["train#trainer", "train#dataloader", "train#sampler", "train#inferer",
                                  "validate#inferer", "initialize", "run", "finalize"])
def test_all_bundles_are_wired_alike(part) -> None:
    wired = [ConfigParser(config(bundle, "train"))[part] for bundle in BUNDLES]
    if part == "train#sampler":  # classes of several answers a case cannot be drawn equally often
        kinds = {f"pipeline.training.batches.{name}" for name in ("BalancedSampler", "ShuffledSampler")}
        assert {each.pop("_target_") for each in wired} == kinds
    assert all(each == wired[0] for each in wired)


@pytest.mark.parametrize("part", ["initialize", "run"])
def test_all_bundles_prepare_alike(part) -> None:
    wired = [config(bundle, "prepare")[part] for bundle in BUNDLES]
    assert all(each == wired[0] for each in wired)


def test_a_part_of_a_preparation_leaves_the_record_of_the_whole(monkeypatch) -> None:
    """Which is replayed on other exams, and exported."""
    begun: list[tuple[Any, ...]] = []
    monkeypatch.setattr("pipeline.training.guard.begin", lambda *given, **_: begun.append(given))
    for shard in (None, "1/3"):
        parser = ConfigParser({**config(BUNDLES[0], "prepare"), "output_dir": "prepared", "shard": shard})
        parser.get_parsed_content("initialize")
    assert begun == [("prepared", "config.yaml"), ("prepared", "config.part.yaml")]


@each_bundle
def test_the_evaluator_is_wired_alike_and_compares_as_its_metric_asks(bundle) -> None:
    train = config(bundle, "train")
    evaluator, reference = (dict(each["validate"]["evaluator"]) for each in (train, config(BUNDLES[0], "train")))
    way = evaluator.pop("metric_cmp_fn", None)
    reference.pop("metric_cmp_fn", None)
    assert evaluator == reference
    (key,) = train["validate"]["key_metric"]
    assert way == ("$outputs.lower_is_better" if key.endswith("loss") else None)


@each_bundle
def test_handlers_are_a_literal_list_in_the_order_that_resuming_needs(bundle) -> None:
    train = config(bundle, "train")
    handlers = train["train"]["handlers"]  # MONAI Label walks it
    assert isinstance(handlers, list) and all(isinstance(h, dict) and "_target_" in h for h in handlers)
    validation, *schedule, housekeeping = handlers
    assert validation == {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "epoch_level": True,
                          "interval": "@val_interval"}
    scheduled = "lr_scheduler" in train
    assert schedule == [{"_target_": "LrScheduleHandler", "lr_scheduler": "@lr_scheduler",
                         "print_lr": False}] * scheduled
    if scheduled:
        assert train["lr_scheduler"]["optimizer"] == "@optimizer"
    keep = housekeeping.pop("keep")
    assert housekeeping == {
        "_target_": "pipeline.training.housekeeping.Housekeeping", "network": "@network_def",
        "optimizer": "@optimizer", **({"scheduler": "@lr_scheduler"} if scheduled else {}),
        "evaluator": "@validate#evaluator", "output_dir": "@output_dir", "ckpt_dir": "@ckpt_dir",
        "model_name": "@model_name", **({"patience": "@patience"} if keep == "best" else {}),
        "precision": "@precision", "resume": "@resume", "quiet": "@quiet"}


@pytest.mark.parametrize("path", [p for p in CONFIGS if p.read_text().startswith("# Overlay")],
                         ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_overlays_append_imports(path) -> None:
    """A list of their own would drop the imports that the configs under them need."""
    overlay = yaml.safe_load(path.read_text()) or {}
    assert "imports" not in overlay
    base = path.parent / ("prepare.yaml" if path.stem == "far_prepare" else "train.yaml")
    assert not set(overlay.get("+imports", ())) & set(yaml.safe_load(base.read_text())["imports"])


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
