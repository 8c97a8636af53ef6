"""The README's commands, as they stand there, on a small cohort of the demo's kind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT, read

SMALL = {"prepare.yaml": "--matrix '[128, 128, 8]' --rows 64 --workers 1",
         "train_patches.yaml": "--max_epochs 1 --cases_per_epoch 4 --batch_size 2 --precision fp32",
         "demo_breasts.yaml": "--max_epochs 1 --cases_per_epoch 4 --batch_size 2 --precision fp32",
         "inference.yaml": "--matrix '[128, 128, 8]' --rows 64", "evaluate.yaml": ""}


def one_step_at_a_time() -> str:
    """The block of that section, every command with sizes for seconds behind it."""
    section = (ROOT / "README.md").read_text().partition("## One step at a time")[2]
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found
    lines = found[1].replace("\\\n", " ").splitlines()
    for i, line in enumerate(lines):
        if line.startswith("python"):
            lines[i] = f"{line} {next(small for name, small in SMALL.items() if f'/{name}' in line)}"
    assert sum(line.startswith("python") for line in lines) == 5
    return "\n".join(["set -e", *lines])


@pytest.mark.slow
def test_one_step_at_a_time_runs_as_it_stands(tmp_path: Path, phantom_cohort) -> None:
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "cohort").symlink_to(phantom_cohort.folder)
    content = json.loads(phantom_cohort.list.read_text())
    (tmp_path / "demo" / "cohort.json").write_text(json.dumps({**content, "root": "cohort"}))
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    ended = subprocess.run(["bash", "-c", one_step_at_a_time()], capture_output=True, text=True, cwd=tmp_path, env={
        **os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stdout[-1000:] + ended.stderr[-2000:]
    steps = tmp_path / "steps"
    assert {row["split"] for row in read(steps / "evaluated" / "predictions.csv")} == {"validation", "test"}
    assert list((steps / "evaluated" / "stacks").glob("*.npz"))
    assert (steps / "answers" / "E0002_preview.png").is_file()
    assert "E0002: probability of malignancy" in ended.stdout
