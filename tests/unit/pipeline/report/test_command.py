"""The command: the same predictions give the same bytes."""

from __future__ import annotations

from pathlib import Path

from written_study import write_run

from pipeline.__main__ import main


def test_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    written = []
    for _ in range(2):
        assert main(["report", str(run), "--replicates", "100"]) == 0
        written.append([(run / name).read_bytes() for name in ("metrics.json", "report.html")])
    assert written[0] == written[1]
