"""What a bundle refuses to start with, and what it notes before it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import commands
import pytest
import torch
import yaml
from commands import ROOT

from pipeline.errors import InputError
from pipeline.training import distributed, guard

BUNDLE = ROOT / "bundles" / "breast_mri_curriculum"
TRAIN, NAIVE = (str(BUNDLE / "configs" / name) for name in ("train.yaml", "naive.yaml"))
HOST = "/somewhere/site-packages/monai/bundle/__main__.py"


@pytest.fixture
def begin(monkeypatch, tmp_path):
    """`guard.begin` as it runs under `python -m monai.bundle run` with these arguments; the config is train.yaml."""

    def call(*arguments: Any, config: str = TRAIN, host: str = HOST, verb: str = "run", output: Any = tmp_path / "out",
             **asked_for: Any) -> Path:
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(sys, "argv", [host, verb, "--config_file", config, *map(str, arguments)])
        guard.begin(output, **(asked_for or {"dataset_dir": "prepared"}))
        return tmp_path / "out" / "config.yaml"
    return call


@pytest.mark.parametrize(("arguments", "message"), [
    (["--max_epoch", 9], "--max_epoch: no such setting in the config; did you mean --max_epochs?"),
    (["--leraning_rate=0.1"], "--leraning_rate: no such setting"),
    (["--lrr", "0.1"], "did you mean --lr?"),
    (["--train#trainer#max_epoch", 3], "--train#trainer#max_epoch: no such setting"),
    (["--train::trainer::epochs", 3], "no such setting"),
    (["--qqq"], "the settings stand at the top of the config file"),
    (["--batch_size", 2, "--fold", 1, "--foold", 1], "did you mean --fold?"),
])
def test_an_unknown_setting_is_refused_with_a_suggestion(begin, tmp_path, arguments, message) -> None:
    with pytest.raises(InputError) as error:
        begin(*arguments)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [
    [], ["--lr", "1.0e-3"], ["--lr=1.0e-3"], ["--batch-size", "2"], ["--train#trainer#max_epochs", "3"],
    ["--train::trainer::max_epochs", "3"], ["--logging_file", "x.conf"], ["--init_id", "initialize", "--quiet"],
    ["--channels", "['pre','post1']"],
])
def test_known_settings_and_monais_own_pass(begin, arguments) -> None:
    assert begin(*arguments).is_file()


def test_overlays_add_settings(begin) -> None:
    patches = str(BUNDLE / "configs" / "train_patches.yaml")
    with pytest.raises(InputError, match="--jitter: no such setting"):
        begin("--jitter", "0.1")
    assert begin("--jitter", "0.1", config=str([TRAIN, patches])).is_file()


def test_settings_in_an_args_file_are_checked_too(begin, tmp_path) -> None:
    arguments = tmp_path / "arguments.yaml"
    arguments.write_text(yaml.safe_dump({"lr": 0.5, "max_epochs": 2}))
    record = yaml.safe_load(begin("--args_file", arguments, "--max_epochs", 3).read_text())
    assert (record["lr"], record["max_epochs"]) == (0.5, 3)  # the command line comes last
    arguments.write_text(yaml.safe_dump({"lrr": 0.5}))
    with pytest.raises(InputError, match="--lrr: no such setting"):
        begin("--args_file", arguments)


@pytest.mark.parametrize(("output", "asked_for", "name"), [
    ("out", {"dataset_dir": None}, "dataset_dir"), (None, {"datalist": "list.json"}, "output_dir"),
])
def test_what_is_asked_for_must_be_given(begin, output, asked_for, name) -> None:
    with pytest.raises(InputError, match=f"{name} is not set; add --{name} to the command"):
        begin(output=output, **asked_for)


@pytest.mark.parametrize(("host", "verb"), [("/usr/bin/monailabel", "run"), (HOST, "ckpt_export")])
def test_other_hosts_are_left_alone(begin, tmp_path, host, verb) -> None:
    hook = sys.excepthook
    begin("--max_epoch", 9, host=host, verb=verb, dataset_dir=None)
    assert sys.excepthook is hook and not (tmp_path / "out").exists()


def test_the_record_holds_merged_settings_and_what_they_ran_on(begin) -> None:
    text = begin("--lr", "0.25", "--train#trainer#max_epochs", 7, "--fold", 2, config=str([TRAIN, NAIVE])).read_text()
    header = dict(line[2:].split(": ", 1) for line in text.splitlines() if line.startswith("# "))
    assert {"breast-bundles", "python", "monai", "torch", "numpy", "device", "git"} <= header.keys()
    assert header["torch"].split("+")[0] == torch.__version__.split("+")[0] and header["git"]
    record = yaml.safe_load(text)
    assert (record["lr"], record["fold"], record["backbone"]) == (0.25, 2, None)
    assert record["train"]["trainer"]["max_epochs"] == 7
    assert record["validate"]["evaluator"]["_target_"] == "SupervisedEvaluator"


def test_an_image_says_which_revision_it_was_built_of(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    monkeypatch.delenv("BREAST_BUNDLES_REVISION", raising=False)
    assert guard.environment()["git"] == "not a checkout"
    monkeypatch.setenv("BREAST_BUNDLES_REVISION", "abc123")
    assert guard.environment()["git"] == "abc123"


@pytest.mark.parametrize(("before", "after", "refused"), [
    (["--lr", "1.0e-3"], ["--lr", "1.0e-4"], "lr = 0.001, this one has 0.0001"),
    ([], ["--seed", 3], "seed = 0, this one has 3"),
    ([], ["--channels", "['pre','post1']"], "channels = "),
    ([], ["--fold", 1], "fold = 0, this one has 1"),
    (["--lr", "1.0e-3"], ["--lr", "0.001"], None),
    ([], ["--max_epochs", 500, "--workers", 2, "--patience", 3], None),
    ([], ["--lr", "0.5", "--resume", "False"], None),
])
def test_another_run_does_not_go_on_where_this_one_was(begin, tmp_path, before, after, refused) -> None:
    begin(*before)
    (tmp_path / "out" / "resume.pt").write_bytes(b"state")
    if refused is None:
        begin(*after)
    else:
        with pytest.raises(InputError, match="--resume False") as error:
            begin(*after)
        assert refused in str(error.value) and len(str(error.value).splitlines()) == 1


def test_without_a_state_a_folder_may_be_used_for_another_run(begin) -> None:
    begin("--lr", "0.1")
    assert yaml.safe_load(begin("--lr", "0.2").read_text())["lr"] == 0.2


def test_a_run_goes_on_with_other_processes_but_not_with_another_batch(begin, tmp_path, monkeypatch) -> None:
    """`batch_size` is a step's, of all processes together."""
    begin("--batch_size", 4)
    (tmp_path / "out" / "resume.pt").touch()
    for processes in (2, 4, 1):
        monkeypatch.setattr(distributed, "count", lambda processes=processes: processes)
        assert yaml.safe_load(begin("--batch_size", 4).read_text()).get("processes", 1) == processes
    with pytest.raises(InputError, match="holds a run with batch_size = 4, this one has 2"):
        begin("--batch_size", 2)


def test_a_config_that_shares_nothing_is_refused_under_torchrun(begin, monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="this config runs in one process; leave torchrun out"):
        begin()


def test_a_setting_that_monai_would_drop_is_not_passed_over(begin) -> None:
    """MONAI ignores an override of None: the run would go on with the config's own value."""
    with pytest.raises(InputError, match="--backbone None"):
        begin("--backbone", "None")


@pytest.mark.parametrize("value", ["false", "TRUE", "null"])
def test_a_switch_that_would_be_a_text_is_refused(begin, value) -> None:
    """`--resume false` is the text "false", which is true."""
    with pytest.raises(InputError, match=f"--resume {value}: taken as a text"):
        begin("--resume", value)


# The whole program, as a user meets it.


def run(*arguments: Any, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return commands.run("monai.bundle", "run", "--config_file", TRAIN, "--bundle_root", BUNDLE, *arguments, cwd=cwd)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "line"), [
    (["--epoch", 9], r"error: --epoch: no such setting in the config"),
    ([], r"error: dataset_dir is not set; add --dataset_dir to the command"),
    (["--dataset_dir", "nowhere"], r"error: nowhere: holds no prepared.json; run prepare.yaml first"),
])
def test_errors_end_the_program_with_one_line(tmp_path, arguments, line) -> None:
    ended = run("--output_dir", tmp_path / "out", "--ckpt_dir", tmp_path / "out", *arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    errors = [text for text in ended.stderr.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1 and errors[0].startswith(line)
    assert ended.stderr.strip().splitlines()[-1] == errors[0]


@pytest.mark.slow
def test_an_error_in_a_loading_process_is_one_line_too(make_prepared, tmp_path) -> None:
    folder = make_prepared(tmp_path / "prepared")
    for path in folder.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:5000])
    ended = run("--output_dir", tmp_path / "out", "--dataset_dir", folder, "--backbone", "", "--workers", 1)
    assert ended.returncode == 1 and "Traceback (most recent call last)" not in ended.stderr.split("error: ")[-1]
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: E00") and "is not what was written" in last
    assert str(tmp_path) not in last
