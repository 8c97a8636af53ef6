"""One finished study, reported once for all tests of the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from doubly_deep_study import write_two_tasks
from written_study import write_run

from pipeline.__main__ import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder with its report. Shared: read it only."""
    run = write_run(tmp_path_factory.mktemp("study") / "run")
    assert main(["report", str(run), "--replicates", "300"]) == 0
    return run


@pytest.fixture(scope="session")
def two_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of two tasks with its report. Shared: read it only."""
    run = write_two_tasks(tmp_path_factory.mktemp("tasks") / "run")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    return run


@pytest.fixture
def metrics(finished: Path) -> Any:
    return json.loads((finished / "metrics.json").read_text())


@pytest.fixture
def page(finished: Path) -> str:
    return (finished / "report.html").read_text()
