"""What documents, docstrings and configs name is there: files of the tree, and dotted names of the packages."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from data_lists.__main__ import main as data_lists
from data_lists.datasets import DATASETS
from pipeline.__main__ import VERBS
from pipeline.__main__ import main as pipeline
from pipeline.phantoms.command import MODALITIES

ROOT = Path(__file__).parents[2]
FILES = [ROOT / name for name in subprocess.run(
    ["git", "ls-files", "--", "*.md", "pipeline/*.py", "transforms/*.py", "data_lists/*.py", "bundles/*.yaml"],
    capture_output=True, text=True, cwd=ROOT, check=True).stdout.split()]
PATH = re.compile(r"(?<![\w/.-])(?:pipeline|transforms|data_lists|bundles|tests|benchmarks|docker|docs)/[\w./-]*\w")
DOTTED = re.compile(r"(?<![\w/.])(?:pipeline|transforms|data_lists)(?:\.[A-Za-z_]\w*)+")

TEMPLATE = re.compile(r"\b(NAME|MODALITY|X)\b|NAME")  # what a reader fills in


def is_there(name: str) -> bool:
    """Whether a dotted name is a module or something in one."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_is_there(path: Path) -> None:
    text = path.read_text()
    lost = [name for name in PATH.findall(text) if not (ROOT / name).exists()
            and not list((ROOT / "bundles").glob(f"*/{name}")) and not TEMPLATE.search(name)]
    lost += [name for name in set(DOTTED.findall(text)) if not is_there(name) and not TEMPLATE.search(name)]
    assert not lost


COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text()
SHARED = {"--help"}


def documented(command: str) -> set[str]:
    """The long options that the table of commands names beside one."""
    (row,) = [line for line in COMMANDS.splitlines() if line.startswith(f"| `{command}")]
    return set(re.findall(r"--[a-z][a-z-]*", row))


def offered(run: Callable[[list[str]], int], *words: str) -> set[str]:
    """The long options that a command's own help names."""
    said = io.StringIO()
    with pytest.raises(SystemExit), contextlib.redirect_stdout(said):
        run([*words, "--help"])
    return set(re.findall(r"(?<![\w`])--[a-z][a-z-]*", said.getvalue().partition("options:")[2])) - SHARED


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_of_commands_names_every_option_of_a_verb(verb: str) -> None:
    named, there = documented(f"pipeline {verb}"), offered(pipeline, verb)
    assert there - named <= {"--output"} and named <= there


def test_the_table_of_commands_names_every_option_of_the_spreadsheets() -> None:
    named, there = documented("data_lists csv"), offered(data_lists, "csv")
    assert there - named <= {"--output"} and named <= there


def test_the_table_of_commands_names_only_options_that_a_converter_has() -> None:
    everywhere = {name: offered(data_lists, name) for name in DATASETS}
    assert documented("data_lists NAME ROOT") <= set().union(*everywhere.values())
    assert "--drop-unlabelled" in set.intersection(*everywhere.values())


def test_the_table_of_commands_names_every_target_of_make() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):.*##", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`([a-z0-9_-]+)`", COMMANDS.rpartition("lists its targets:")[2])) == targets
    assert set(MODALITIES) <= set(re.findall(r"`(\w+)`", COMMANDS))
