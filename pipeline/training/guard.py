"""What a bundle checks before it starts: the first `initialize` expression of every config.

MONAI accepts any `--name value`, whether the config knows the name or not, and asks for nothing. The command line
of `python -m monai.bundle run` and `run_workflow` is still there to be read, so this is where it is held against the
config files. A Python program that makes a `ConfigWorkflow` leaves no command line, but the workflow is on the stack
while its `initialize` is evaluated: there its merged config is looked at, where a name that nothing refers to and
nobody declares is one that nobody knows. A host that only reads components from a config (MONAI Label) is not held up.
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from fire.parser import DefaultParseValue, SeparateFlagArgs
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.scripts import run as bundle_run
from monai.bundle.scripts import run_workflow

from pipeline import __version__
from pipeline.errors import InputError, install_excepthook
from pipeline.files.atomic import write_text
from pipeline.training import distributed
from pipeline.training.settings import SETTINGS, check_settings, near

RECORD = "config.yaml"
PROCESSES = "processes"  # in the record, where there were several
# Settings that may change between a run and its continuation without making it another run.
_MAY_CHANGE = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device", "workers", "max_epochs", "resume",
               "patience", "backbone", "distributed", "quiet", PROCESSES}


def begin(output_dir: Path | str | None, record: str = RECORD, **asked_for: Any) -> None:
    """Check the command line, then note in the output folder what is about to run.

    Args:
        output_dir: folder of the run. The merged config is written there, so that every result can be traced.
        record: the name of that file. Where a run can be resumed in this folder and its settings were others,
            this is an error.
        asked_for: settings that have no sensible default, by name: None is an error.

    Raises:
        InputError: an override that no config file knows, a setting of another type or beyond its range, one that is
            asked for and missing, or several processes for a config that does not share its work.
    """
    config, command = _command_line()
    workflow = None if command is not None else _workflow()
    if command is not None:
        install_excepthook(distributed.last_word)
        for name, value in command.items():
            _check_known(name, config)
            if value is None:
                raise InputError(f"--{name} {value}: MONAI passes over it; set it to null in an overlay")
            if isinstance(value, str) and value.lower() in ("true", "false", "none", "null"):
                raise InputError(f"--{name} {value}: taken as a text; write True or False, or null in an overlay")
    elif workflow is not None and not _loads_network():
        config = ConfigParser(copy.copy(workflow.parser.get()))
        _check_referred(config.get())
    else:
        return
    for name, value in {**asked_for, "output_dir": output_dir}.items():
        if value is None and (workflow is None or _refers(config.get(), name)):
            raise InputError(f"{name} is not set; add --{name} to the command (see the comment at {name} in the "
                             "config)")
    for name, value in (command or {}).items():
        config[name] = value
    check_settings(config.get())
    if distributed.announced() > distributed.count():
        raise InputError("this config runs in one process; leave torchrun out")
    if distributed.is_first() and output_dir is not None:
        _write_record(Path(output_dir), record, config.get())


def _callers() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def _workflow() -> ConfigWorkflow | None:
    """The workflow that is being initialised, which calls this module from an expression of its config."""
    return next((found for frame in _callers() if isinstance(found := frame.f_locals.get("self"), ConfigWorkflow)),
                None)


def _loads_network() -> bool:
    """Whether it is `monai.bundle.load` that initialises it: nothing will run, and nothing is asked for."""
    return any(frame.f_code.co_name == "load" and frame.f_globals.get("__name__") == bundle_run.__module__
               for frame in _callers())


def _command_line() -> tuple[ConfigParser, dict[str, Any] | None]:
    """The config files of `monai.bundle`'s command merged, and the overrides; overrides are None under other hosts."""
    if len(sys.argv) < 2 or not sys.argv[0].replace("\\", "/").endswith("monai/bundle/__main__.py"):
        return ConfigParser({}), None
    arguments, _ = SeparateFlagArgs(sys.argv[1:])
    if arguments[:1] not in (["run"], ["run_workflow"]):
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
    own = {name for each in (bundle_run, run_workflow, ConfigWorkflow) for name in inspect.signature(each).parameters}
    own -= {"override", "kwargs"}
    return config, {name: value for name, value in given.items() if name not in own}


def _check_known(name: str, config: ConfigParser) -> None:
    known = name.lstrip("+~").replace("::", "#")
    if known in config:
        return
    raise InputError(f"--{name}: no such setting in the config; {near(known, map(str, config.get()))}")


def _check_referred(config: dict[str, Any]) -> None:
    """Raise `InputError` for a plain value at the top of a config that nothing refers to and nobody declares."""
    for name, value in config.items():
        plain = not isinstance(value, (dict, list)) and not str(value).startswith("$")
        if plain and name not in SETTINGS and not name.startswith("_") and not _refers(config, name, everywhere=True):
            names = [other for other in {**SETTINGS, **config} if other != name]
            raise InputError(f"--{name}: no such setting in the config; {near(name, names)}")


def _refers(config: dict[str, Any], name: str, everywhere: bool = False) -> bool:
    """Whether a config's expressions refer to a setting; those of `initialize` only count `everywhere`."""
    def texts(value: Any) -> Iterator[str]:
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from texts(inner)
        if isinstance(value, str):
            yield value

    used = {k: v for k, v in config.items() if everywhere or k != "initialize"}
    return any(re.search(rf"@{re.escape(name)}(?!\w)", text) for text in texts(used))


def _write_record(folder: Path, record: str, config: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(config, default=str))
    if distributed.count() > 1:
        plain[PROCESSES] = distributed.count()
    path = folder / record
    if (folder / "resume.pt").is_file() and path.is_file() and config.get("resume", True):
        try:
            before = dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, ValueError, TypeError, yaml.YAMLError):
            raise InputError(f"{path.name}: damaged, and it says what the run in {folder.name} is; choose another "
                             "--output_dir, or start afresh with --resume False") from None
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
    for package in ("monai", "torch", "numpy", "pytorch-ignite", "itk-io"):
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
        facts["git"] = os.environ.get("BREAST_BUNDLES_REVISION", "not a checkout")  # set in a container's image
    return facts
