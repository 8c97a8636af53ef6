"""The command: its summary, its exit status, and that it overwrites nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sheets import sheet

from data_lists.__main__ import main


def test_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*sheet(tmp_path, lesions=["000,L,1,2,3,1", "001,R,1,2,3,0"]), "--name", "ours"]) == 0
    out = capsys.readouterr().out
    assert "SECRET" not in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "ours (MR)"
    assert "exams 20 of 20 patients" in lines
    assert "breasts 40: 10 malignant, 0 benign, 10 none, 20 unknown" in lines
    assert "lesions 2: 1 malignant" in lines
    table = [line.split() for line in lines if line[:1].isdigit()]
    assert len(table) == 5
    for _, train, validation, test, malignant in table:
        assert int(train) + int(validation) + int(test) == 20 and (test, malignant) == ("4", "2")


def test_three_one_and_one_fifth(tmp_path: Path, capsys) -> None:
    assert main([*sheet(tmp_path), "--validation", "0.2"]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[1:4] for row in table] == [["12", "4", "4"]] * 5
    assert json.loads((tmp_path / "list.json").read_text())["folds"] == {"count": 5, "seed": 0, "validation": 0.2}
    assert main([*sheet(tmp_path), "--validation", "0.9"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_output_must_be_json_so_that_no_sheet_is_overwritten(tmp_path: Path, capsys) -> None:
    arguments = sheet(tmp_path)
    before = (tmp_path / "exams.csv").read_bytes()
    assert main([*arguments[:3], str(tmp_path / "exams.csv")]) == 2
    assert ".json" in capsys.readouterr().err
    assert (tmp_path / "exams.csv").read_bytes() == before


def test_as_a_program(tmp_path: Path) -> None:
    arguments = sheet(tmp_path, lesions=["000,L,1,2,3,1"])
    command = [sys.executable, "-m", "data_lists"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*command, "csv", str(tmp_path / "none.csv"), *arguments[2:]],
                          capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "none.csv" in done.stderr
    done = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "csv" in done.stdout
