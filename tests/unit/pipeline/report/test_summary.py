"""The table in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from written_study import write_run

from pipeline.__main__ import main


def test_terminal_shows_an_aligned_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"report: {run / 'report.html'}", f"every exam: {run / 'exams.html'}"]
    assert lines[1].startswith("Main ") and "0.89 ± 0.01" in lines[1]
    assert lines[1].index("0.") == lines[2].index("0.") == lines[0].index("AUROC")
    assert not [path for path in run.iterdir() if path.name.startswith(".")]
