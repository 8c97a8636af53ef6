"""A size that could not be trained is missed by nobody but is told; a row of the table is missed."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubly_deep_study import write_two_tasks

from pipeline.errors import InputError
from pipeline.files.atomic import write_json
from pipeline.report.analyse import analyse
from pipeline.report.predictions import load_run


def test_a_size_that_could_not_be_trained_is_left_out_and_said(tmp_path: Path) -> None:
    run = write_two_tasks(tmp_path / "run", comparisons=[["t2-t0", "t2-t0_0.1"], ["t2-t0", "t1"]])
    (run / "t2-t0_0.1/fold1/predictions.csv").unlink()
    with pytest.raises(InputError, match=r"no predictions of t2-t0_0\.1/fold1"):  # nobody has tried
        load_run(run)
    reason = "fold 1, share 0.1: 3 exams without a malignant breast"
    write_json(run / "t2-t0_0.1/fold1/train/failed.json", {"reason": f"{reason} in {run}/x", "exit_status": 1})
    found = analyse(load_run(run), 100)
    assert found["notes"] == [f"t2-t0, 0.1 is left out, its training failed: {reason} in RUN/x"]
    assert list(found["variants"]) == ["t2-t0", "t1", "t2-t0_0.5"] and len(found["comparisons"]) == 1
    assert [point["value"] for point in found["curves"]["share"]["points"]] == [0.5, 1.0]
    (run / "t2-t0/fold1/predictions.csv").unlink()  # a row of its own is missed, whatever it failed of
    write_json(run / "t2-t0/fold1/train/failed.json", {"reason": reason, "exit_status": 1})
    with pytest.raises(InputError, match="no predictions of t2-t0/fold1"):
        load_run(run)
