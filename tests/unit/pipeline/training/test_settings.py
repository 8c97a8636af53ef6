"""Every setting has its type and range, whatever starts the bundle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ROOT
from monai.bundle import ConfigParser, ConfigWorkflow

from pipeline.errors import InputError, one_line
from pipeline.training.settings import SETTINGS, _is_code, check, check_settings

BUNDLES = sorted(path.parent.parent for path in (ROOT / "bundles").glob("*/configs/train.yaml"))
CURRICULUM = ROOT / "bundles" / "breast_mri_curriculum"
# Of every paper: what the fault's name says, and what is put there.
WRONG: list[tuple[str, Any]] = [
    ("fold", "abc"), ("fold", 1.5), ("fold", -1), ("fold", True), ("max_epochs", 0), ("max_epochs", "abc"),
    ("max_epochs", 2.5), ("lr", "nan"), ("lr", float("nan")), ("lr", float("inf")), ("lr", -1), ("lr", 0),
    ("lr", "1e-4"), ("batch_size", 0), ("batch_size", 2.5), ("workers", -1), ("workers", 1.5), ("device", "banana"),
    ("device", "cuda:99"),
    ("seed", -1), ("seed", 2**32), ("patience", 0), ("precision", "fp16"), ("channels", "pre"), ("channels", []),
    ("rotation", "much"), ("resume", "no"), ("resume", 1), ("val_interval", 0), ("output_dir", 5),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_will_not_do_is_one_line_that_says_what_will(name, value) -> None:
    with pytest.raises(InputError, match=f"^--{name} .*(expected|use cpu)") as caught:
        check_settings({name: value})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_setting_of_every_config_is_declared_and_will_do(bundle: Path) -> None:
    found = 0
    for path in sorted((bundle / "configs").glob("*.yaml")):
        config = yaml.safe_load(path.read_text())
        if path.name == "study.yaml":
            continue
        check_settings(config)
        plain = {name for name, value in config.items()
                 if not _is_code(value) and not isinstance(value, list) and not set(name) & set("#+")}
        assert not plain - set(SETTINGS), path.name
        found += len(plain)
    assert found > 30


@pytest.mark.parametrize(("name", "value"), [("fold", 4), ("lr", 1), ("lr", 1.0e-5), ("workers", None), ("workers", 0),
                                             ("device", "cpu"), ("patch_size", 24), ("patch_size", [8, 8, 4]),
                                             ("cases_per_epoch", None), ("weights", Path("model.pt")),
                                             ("unknown", object)])
def test_what_will_do_passes(name, value) -> None:
    check(name, value)


HOST = "/somewhere/site-packages/monai/bundle/__main__.py"


def start(monkeypatch, tmp_path: Path, host: str, **settings: Any) -> None:
    """Begin the curriculum's training under a host, up to its first `initialize` expression."""
    config = str(CURRICULUM / "configs" / "train.yaml")
    settings = {"dataset_dir": "prepared", "output_dir": str(tmp_path / "out"), **settings}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "argv", ["a program"] if host == "ConfigWorkflow" else
                        [HOST, host, "--config_file", config, *words])
    workflow = ConfigWorkflow(config, logging_file=False, **settings)
    workflow.parser["initialize"] = workflow.parser["initialize"][1:2]  # the guard's alone
    workflow.initialize()


@pytest.mark.parametrize("host", ["run", "run_workflow", "ConfigWorkflow"])
@pytest.mark.parametrize(("settings", "line"), [
    ({"spraed": 3}, "--spraed: no such setting in the config; did you mean --"),
    ({"max_epoch": 9}, "--max_epoch: no such setting in the config; did you mean --max_epochs?"),
    ({"fold": "abc"}, "--fold 'abc': a whole number from 0 to 999 is expected"),
    ({"lr": -1}, "--lr '-1': a number above 0 is expected"),
    ({"train#trainer#max_epochs": 0}, "--max_epochs '0': a whole number from 1 is expected"),
    ({"device": "banana"}, "--device 'banana': no such device"),
])
def test_the_same_line_under_every_host(monkeypatch, tmp_path, host, settings, line) -> None:
    with pytest.raises(Exception) as caught:  # MONAI puts it into one of its own
        start(monkeypatch, tmp_path, host, **settings)
    assert (one_line(caught.value) or "").startswith(line)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("host", ["run", "run_workflow", "ConfigWorkflow"])
def test_a_sound_start_is_noted_under_every_host(monkeypatch, tmp_path, host) -> None:
    start(monkeypatch, tmp_path, host, lr=0.25)
    record = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    assert record["lr"] == 0.25 and record["fold"] == 0


def test_a_host_that_gives_the_cases_itself_need_not_name_a_folder(tmp_path) -> None:
    """As MONAI Label trains: it puts lists of cases where the config reads a prepared folder."""
    config = str(CURRICULUM / "configs" / "train.yaml")
    given = {"output_dir": str(tmp_path / "out"), "train#dataset#data": [], "validate#dataset#data": []}
    for settings, refused in ((given, False), ({"output_dir": str(tmp_path / "out")}, True)):
        workflow = ConfigWorkflow(config, logging_file=False, **settings)
        workflow.parser["initialize"] = workflow.parser["initialize"][1:2]
        try:
            workflow.initialize()
            assert not refused
        except RuntimeError as error:
            assert refused and "dataset_dir is not set" in str(one_line(error))


def test_a_host_that_only_reads_components_is_not_held_up(tmp_path) -> None:
    """As MONAI Label serves: no workflow, the parser alone."""
    parser = ConfigParser(ConfigParser.load_config_file(str(CURRICULUM / "configs" / "inference.yaml")))
    parser["fold"] = "abc"
    parser["output_dir"] = str(tmp_path / "out")
    parser.get_parsed_content("initialize#0")
    assert not (tmp_path / "out").exists()
