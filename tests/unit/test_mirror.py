"""Tests mirror the tree: every module with behaviour has its own test file, but for those listed here."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = {"__main__": "main", "__init__": "init"}
WITHOUT = {  # module -> why it has no test file of its own
    "pipeline/prepare/unit.py": "a protocol without code; its units are tested in their wings",
}


def behaves(path: Path) -> bool:
    """Whether a module defines a function or a class."""
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in ast.parse(path.read_text()).body)


def mirror(path: Path) -> Path:
    """`pipeline/metrics/roc.py` is tested by `tests/unit/pipeline/metrics/test_roc.py`."""
    return ROOT / "tests" / "unit" / path.relative_to(ROOT).with_name(f"test_{NAMES.get(path.stem, path.stem)}.py")


MODULES = [path for package in ("pipeline", "transforms", "data_lists")
           for path in sorted((ROOT / package).rglob("*.py")) if behaves(path)]


def test_every_module_has_its_test_file() -> None:
    lacking = [str(path.relative_to(ROOT)) for path in MODULES if not mirror(path).is_file()]
    assert lacking == sorted(WITHOUT), f"{len(MODULES) - len(lacking)} of {len(MODULES)} modules have theirs"
    assert len(WITHOUT) <= 5


def test_every_test_file_has_its_module_and_a_test() -> None:
    own = {"test_layers.py", "test_mirror.py", "test_documents.py", "test_parameters.py"}  # of the whole tree
    known = {mirror(path) for path in MODULES}
    for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py")):
        if path.name not in own:
            assert path in known, f"{path.relative_to(ROOT)} mirrors no module"
        assert "def test_" in path.read_text(), path
