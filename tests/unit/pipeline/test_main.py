"""The command line's verbs: each is there, explains itself, and ends as it should."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

import pytest

from pipeline.__main__ import VERBS, _joined, main, name_the_nameless


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"python -m pipeline {verb}" in said and "--" in said


def test_an_unknown_verb_is_refused_and_none_asks_for_help(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rapport"])
    assert ended.value.code == 2 and "verify" in capsys.readouterr().err  # what there is
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.err == "" and all(verb in said.out for verb in VERBS)


def test_input_that_cannot_be_used_is_one_line_and_a_status(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and len(said.err.splitlines()) == 1


def test_a_user_without_name_and_home_gets_both(monkeypatch, tmp_path) -> None:
    """As in a container that runs as a number: MONAI's import would end in a traceback."""
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    name_the_nameless()
    assert getpass.getuser() == f"user{os.getuid()}"
    assert Path("~").expanduser().is_relative_to(tmp_path) and Path.home().is_dir()


def test_everybody_else_stays_who_they_are(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "somebody")
    name_the_nameless()
    assert os.environ["HOME"] == str(tmp_path) and os.environ["LOGNAME"] == "somebody"


def test_options_for_another_program_may_begin_with_a_dash() -> None:
    assert _joined(["study", "--slurm", "--time=1", "--slurm=-p x", "--out", "run", "--slurm"]) == [
        "study", "--slurm=--time=1", "--slurm=-p x", "--out", "run", "--slurm"]
