"""The house's rules: which room may import which, by room, within functions too."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"pipeline", "transforms", "data_lists", "bundles", "tests", "benchmarks"}
WINGS = ("breast_mri", "breast_ultrasound", "mammography")
CORRIDOR = ("datalist", "folds", "errors", "names", "answers", "files", "verify", "prepare", "training", "explain",
            "networks", "metrics", "prediction_rows", "evaluations")
# package -> what of ours it may import, besides itself
ALLOWED = {"transforms": (), "pipeline": ("transforms",),
           "data_lists": ("pipeline.datalist", "pipeline.folds", "pipeline.files", "pipeline.names",
                          "pipeline.help_format",
                          "pipeline.__version__", "transforms.dicom_volumes", "transforms.dicom_pixels",
                          "transforms.load", "transforms.breast_mri.dicom_exam")}
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


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in OURS}


def room(name: str) -> str:
    """The second part of a dotted name: `pipeline.breast_mri.breasts` is in `breast_mri`."""
    return ([*name.split("."), ""])[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_the_rules_of_the_house(path) -> None:
    package, *inner = path.relative_to(ROOT).with_suffix("").parts
    here = inner[0] if inner else ""
    allowed = (package, *ALLOWED[package])
    for name in ours(path) - {"pipeline"}:
        assert any(name == good or name.startswith(good + ".") for good in allowed), name
        there = room(name)
        if here in WINGS:  # wings never meet, and know nothing of those who read their results
            assert there not in {*WINGS, "study", "report", "serve"} - {here}, name
        if package == "pipeline" and here in CORRIDOR and name.startswith("pipeline."):
            assert there not in (*WINGS, "study", "report", "serve"), name
        if here == "study":  # it only runs commands
            assert there not in WINGS, name


@pytest.mark.parametrize("wing", WINGS)
def test_answers_and_evaluations_meet_only_in_the_wing_s_scores(wing) -> None:
    for path in (ROOT / "pipeline" / wing).rglob("*.py"):
        kind = path.stem.partition("_")[0]
        other = {"answer": "write_", "write": "answer_"}.get(kind)
        for name in ours(path) if other else ():
            assert not any(part.startswith(other) for part in name.split(".")[:3]), f"{path.name} imports {name}"


def test_the_files_were_found() -> None:
    assert len(FILES) > 30 and not list((ROOT / "bundles").rglob("__init__.py"))
    assert all((ROOT / "pipeline" / name).exists() or (ROOT / "pipeline" / f"{name}.py").is_file()
               for name in (*WINGS, *CORRIDOR))


@pytest.mark.parametrize("module", ["pipeline.datalist", "pipeline.verify.command", "pipeline.study",
                                    "data_lists.__main__"])
def test_commands_that_need_no_tensors_start_without_them(module) -> None:
    script = f"import sys, {module}; print([m for m in ('torch', 'monai', 'sklearn') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert ended.stdout == "[]\n", ended.stderr


# How files are written and tables are read outside `pipeline.files`, and why there.
OTHERWISE = {
    "pipeline/phantoms/cohort.py": "a whole exam's folder is renamed, not each of its files",
    "pipeline/training/run_state.py": "writes its own format to what `replacing` names",
}
BY_HAND = re.compile(r"\.open\(\s*[\"'][wx]|np\.savez?\b|np\.savez_compressed|torch\.save|\.write_text\("
                     r"|\.write_bytes\(|mkstemp|csv\.(DictReader|reader|writer|DictWriter)\(|read_csv\(|\.to_csv\(")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_written_and_tables_read_in_one_place(path) -> None:
    name = str(path.relative_to(ROOT))
    if not name.startswith("pipeline/files/") and name not in OTHERWISE:
        assert not BY_HAND.findall(path.read_text())
