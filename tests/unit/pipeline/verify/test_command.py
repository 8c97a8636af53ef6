"""The command: its tables, its files and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipeline.verify import verify
from pipeline.verify.command import table


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", "verify", *map(str, arguments)],
                          capture_output=True, text=True)


def test_columns_are_aligned(tiny_cohort) -> None:
    tiny_cohort.path(5, "t2").unlink()
    tiny_cohort.path(2).write_bytes(b"")
    header, *rows = table(verify(tiny_cohort.load())).split("\n\n")[0].splitlines()
    assert [row.index(reason) for row, reason in zip(rows, ("the file has", "no such"), strict=True)] == [
        header.index("reason")] * 2


def test_command_on_a_healthy_list(tiny_cohort, tmp_path) -> None:
    done = run(tiny_cohort.list, "--json", tmp_path / "out" / "issues.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["no issues", "12 exams: 0 errors, 0 warnings"]
    assert json.loads((tmp_path / "out" / "issues.json").read_text()) == {
        "schema": "breast-bundles/verify/1", "errors": 0, "warnings": 0, "exams": 12, "issues": []}


def test_command_with_errors_names_no_patient_and_no_path(tiny_cohort, tmp_path) -> None:
    datalist = tiny_cohort.load()
    first, second = datalist.exams[0], datalist.exams[1]
    assert first.fold != second.fold
    second.patient_id = first.patient_id
    datalist.exams[2].images["t2"] = str(tmp_path / "SECRET.nii.gz")
    datalist.exams[3].breasts["L"]["malignant"] = None
    tiny_cohort.save(datalist)
    done = run(tiny_cohort.list, "--json", tmp_path / "issues.json")
    assert done.returncode == 1 and done.stderr == ""
    written = (tmp_path / "issues.json").read_text()
    for text in (done.stdout, written):
        assert "SECRET" not in text and str(tmp_path) not in text
    content = json.loads(written)
    assert (content["errors"], content["warnings"]) == (2, 1)
    assert [(it["severity"], it["code"], it["exam"]) for it in content["issues"]] == [
        ("error", "patient_in_two_folds", "E0001"),
        ("error", "missing_file", "E0002"),
        ("warning", "label_missing", "E0003"),
    ]
    assert set(content["issues"][0]) == {"severity", "code", "exam", "image", "reason", "remedy"}


def test_command_with_warnings_only_succeeds(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.exams[3].breasts["L"]["malignant"] = None
    tiny_cohort.save(datalist)
    done = run(tiny_cohort.list, "--quick")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "12 exams: 0 errors, 1 warnings (headers only)"


@pytest.mark.parametrize("arguments", [["missing.json"], ["LIST", "--workers", "0"],
                                       ["LIST", "--json", "/dev/null/x.json"]])
def test_command_that_cannot_run_ends_with_one_line(tiny_cohort, arguments: list[str]) -> None:
    done = run(*(tiny_cohort.list if word == "LIST" else word for word in arguments))
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
