"""Another package of one of our names is told in one line, before anything fails in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("foreign", ["transforms.py", "transforms/__init__.py"])
@pytest.mark.parametrize("program", [["-m", "pipeline", "doctor"], ["-c", "import pipeline.training.guard"]])
def test_a_foreign_package_is_named(tmp_path, foreign, program) -> None:
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("")
    ended = subprocess.run([sys.executable, *program], capture_output=True, text=True, cwd=tmp_path,
                           env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode != 0 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"error: {tmp_path / foreign}: is not this project's `transforms`")
