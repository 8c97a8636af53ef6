"""`python -m pipeline settings BUNDLE [CONFIG]`: what a config can be told, read from its own comments."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.errors import InputError

_SETTING = re.compile(r"^(?P<name>[A-Za-z_]\w*): *(?P<value>.*?)(?:  +# (?P<meaning>.*))?$")
_NOT_SETTINGS = {"imports", "network_def", "started_def", "network", "loss", "optimizer", "train", "validate",
                 "initialize", "run"}


@dataclass
class Setting:
    """One line at the top of a config.

    Attributes:
        name: as it is given on the command line, `--name VALUE`.
        value: its default, as it stands there.
        meaning: what its comment says, with unit and the paper's section.
    """

    name: str
    value: str
    meaning: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("bundle", type=Path, help="the bundle's folder, e.g. bundles/breast_mri_curriculum")
    parser.add_argument("config", nargs="?", default="train",
                        help="one of its configs; an overlay shows what it changes")


def main(args: argparse.Namespace) -> int:
    """Print the table."""
    folder = args.bundle / "configs"
    known = sorted(path.stem for path in folder.glob("*.yaml") if path.stem != "study")
    if not known:
        raise InputError(f"{args.bundle.name}: no bundle; give a folder of bundles/")
    name = args.config.removesuffix(".yaml")
    if name not in known:
        raise InputError(f"{args.bundle.name}: no config {args.config[:40]!r}; choose one of {', '.join(known)}")
    found = settings(folder / f"{name}.yaml")
    width = shutil.get_terminal_size((110, 24)).columns
    columns = [max([*(len(getattr(each, column)) for each in found), len(column)]) + 2 for column in ("name", "value")]
    columns[1] = min(columns[1], max(width // 3, 24))
    print(f"{args.bundle.name}, {name}.yaml: settings, given as --NAME VALUE")
    for each in found:
        room = max(width - sum(columns), 30)
        told = textwrap.wrap(each.meaning, room) or [""]
        value = each.value if len(each.value) < columns[1] else each.value[: columns[1] - 3] + "…"
        print(f"{each.name:<{columns[0]}}{value:<{columns[1]}}{told[0]}".rstrip())
        for more in told[1:]:
            print(" " * sum(columns) + more)
    return 0


def settings(path: Path) -> list[Setting]:
    """The settings of a config, in its order: its plain top-level keys, each with the comment behind it.

    Args:
        path: the YAML file.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        raise InputError(f"{path.name}: cannot be read as YAML; take the bundle's own again") from None
    found = []
    for written in text.splitlines():
        match = _SETTING.match(written)
        if not match or match["name"] in _NOT_SETTINGS or not match["value"] or isinstance(
                content.get(match["name"]), dict):
            continue
        found.append(Setting(match["name"], match["value"].strip(), match["meaning"] or ""))
    return found
