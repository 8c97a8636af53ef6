"""The doctor: facts of a sound installation, and a package that hides ours."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest

from pipeline.__main__ import main


def test_a_sound_installation(capsys) -> None:
    assert main(["doctor", "--paths"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "all well"
    assert all(word in said for word in ("torch", "monai", "cores", "free disk", "/transforms"))


@pytest.mark.parametrize(("found", "problem"), [
    (None, "data_lists cannot be imported; run make venv"),
    (SimpleNamespace(origin="/elsewhere/data_lists/__init__.py"), "come from different folders"),
])
def test_a_package_that_is_missing_or_hidden(monkeypatch, capsys, found, problem) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: found if name == "data_lists" else real(name, *a))
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert problem in said and said.splitlines()[-1] == "1 problems"
