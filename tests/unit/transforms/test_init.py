"""Names of the package: each is there, and importing the package alone costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transforms


@pytest.mark.parametrize("name", transforms.__all__)
def test_every_name_is_found_at_its_home(name: str) -> None:
    assert getattr(transforms, name).__module__ == f"transforms.{transforms._HOME[name]}"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(transforms.__file__).read_text())
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            and str(node.module).startswith("transforms.") for alias in node.names}
    assert seen == set(transforms.__all__) == set(transforms._HOME)


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'LoadBrests'"):
        transforms.LoadBrests  # noqa: B018


def test_the_package_alone_imports_no_tensors() -> None:
    script = "import sys, transforms; print([m for m in ('torch', 'monai', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
