"""Imports run one way: bundles → pipeline → transforms, and data_lists → pipeline.datalist."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"pipeline", "transforms", "data_lists", "bundles", "tests", "benchmarks"}
# package -> what of ours it may import, besides itself
ALLOWED = {"transforms": (), "pipeline": ("transforms",), "data_lists": ("pipeline.datalist",)}
FILES = [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = (package, *ALLOWED[package])
    for name in imports(path):
        if name.split(".")[0] in OURS and name != "pipeline":
            assert any(name == good or name.startswith(good + ".") for good in allowed), name


def test_the_files_were_found() -> None:
    assert len(FILES) > 30 and not list((ROOT / "bundles").rglob("__init__.py"))


@pytest.mark.parametrize("module", ["pipeline.datalist", "pipeline.verify.command", "pipeline.study",
                                    "data_lists.__main__"])
def test_commands_that_need_no_tensors_start_without_them(module) -> None:
    script = f"import sys, {module}; print([m for m in ('torch', 'monai', 'sklearn') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout == "[]\n", ended.stderr
