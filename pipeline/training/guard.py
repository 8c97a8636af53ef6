"""What a bundle checks before it starts: the first `initialize` expression of every config.

MONAI accepts any `--name value`, whether the config knows the name or not, and asks for nothing. The command line
of `python -m monai.bundle run` is still there to be read, so this is where it is held against the config files.
Under any other host (MONAI Label, a Python program) only the excepthook's absence differs: nothing is checked,
because such hosts set what they need themselves.
"""

from __future__ import annotations

import difflib
import inspect
import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml
from fire.parser import DefaultParseValue, SeparateFlagArgs
from monai.bundle import ConfigParser
from monai.bundle.scripts import run as bundle_run

from pipeline import __version__
from pipeline.errors import InputError, install_excepthook
from pipeline.files.atomic import write_text
from pipeline.training.distributed import is_first

RECORD = "config.yaml"
# Settings that may change between a run and its continuation without making it another run.
_MAY_CHANGE = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device", "workers", "max_epochs", "resume",
               "patience", "backbone", "distributed"}


def begin(output_dir: Path | str | None, record: str = RECORD, **asked_for: Any) -> None:
    """Check the command line, then note in the output folder what is about to run.

    Args:
        output_dir: folder of the run. The merged config is written there, so that every result can be traced.
        record: the name of that file. Where a run can be resumed in this folder and its settings were others,
            this is an error.
        asked_for: settings that have no sensible default, by name: None is an error.

    Raises:
        InputError: an override that no config file knows, or a setting that is asked for and missing.
    """
    config, command = _command_line()
    if command is None:
        return
    install_excepthook()
    for name, value in command.items():
        _check_known(name, config)
        if value is None:
            raise InputError(f"--{name} {value}: MONAI passes over it; set it to null in an overlay")
        if isinstance(value, str) and value.lower() in ("true", "false", "none", "null"):
            raise InputError(f"--{name} {value}: taken as a text; write True or False, or null in an overlay")
    for name, value in {**asked_for, "output_dir": output_dir}.items():
        if value is None:
            raise InputError(f"{name} is not set; add --{name} to the command (see the comment at {name} in the "
                             "config)")
    for name, value in command.items():
        config[name] = value
    assert output_dir is not None
    if is_first():
        _write_record(Path(output_dir), record, config.get())


def _command_line() -> tuple[ConfigParser, dict[str, Any] | None]:
    """The config files of `monai.bundle run` merged, and the overrides; overrides are None under other hosts."""
    if len(sys.argv) < 2 or not sys.argv[0].replace("\\", "/").endswith("monai/bundle/__main__.py"):
        return ConfigParser({}), None
    arguments, _ = SeparateFlagArgs(sys.argv[1:])
    if arguments[0] != "run":
        return ConfigParser({}), None
    given: dict[str, Any] = {}
    rest = arguments[1:]
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            continue  # run_id and its fellows, by position
        name, equals, value = word[2:].partition("=")
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "True"
        given[name.replace("-", "_")] = DefaultParseValue(value)
    if "args_file" in given:
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    files = given.get("config_file")
    config = ConfigParser(ConfigParser.load_config_files(files) if files else {})
    own = set(inspect.signature(bundle_run).parameters) - {"override"}
    return config, {name: value for name, value in given.items() if name not in own}


def _check_known(name: str, config: ConfigParser) -> None:
    known = name.lstrip("+~").replace("::", "#")
    if known in config:
        return
    near = difflib.get_close_matches(known, [str(key) for key in config.get()], n=1)
    hint = f"did you mean --{near[0]}?" if near else "the settings stand at the top of the config file"
    raise InputError(f"--{name}: no such setting in the config; {hint}")


def _write_record(folder: Path, record: str, config: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(config, default=str))
    path = folder / record
    if (folder / "resume.pt").is_file() and path.is_file() and config.get("resume", True):
        before = yaml.safe_load(path.read_text()) or {}
        for name in sorted(plain.keys() & before.keys() - _MAY_CHANGE):
            if plain[name] != before[name] and not isinstance(plain[name], dict) and not _is_code(plain[name]):
                raise InputError(f"{folder.name}: holds a run with {name} = {before[name]}, this one has {plain[name]}"
                                 "; choose another --output_dir, or start afresh with --resume False")
    lines = [f"# {name}: {value}" for name, value in environment().items()]
    write_text(path, "\n".join(lines) + "\n" + yaml.safe_dump(plain, sort_keys=False, width=110))


def _is_code(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(v, (dict, list)) or str(v).startswith("$") for v in value)


def environment() -> dict[str, str]:
    """Versions, device and git revision: what a result is traced by."""
    import torch

    facts = {"breast-bundles": __version__, "python": sys.version.split()[0]}
    for package in ("monai", "torch", "numpy", "pytorch-ignite", "itk"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    gpu = torch.cuda.is_available()
    facts["device"] = torch.cuda.get_device_name(0) if gpu else f"cpu ({torch.get_num_threads()} threads)"
    try:
        revision = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True,
                                  timeout=10, cwd=Path(__file__).parent, check=True)
        facts["git"] = revision.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        facts["git"] = "not a checkout"
    return facts
