"""What documents, docstrings and configs name is there: files of the tree, and dotted names of the packages."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest

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
