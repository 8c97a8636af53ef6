"""Help tells a default where there is one to tell."""

from __future__ import annotations

import argparse

import pytest

from data_lists.__main__ import main as data_lists
from data_lists.datasets import DATASETS
from pipeline.__main__ import VERBS, main
from pipeline.help_format import HelpFormatter


def test_defaults_that_say_something() -> None:
    parser = argparse.ArgumentParser(formatter_class=HelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--out", help="a folder")
    parser.add_argument("--quick", action="store_true", help="less")
    parser.add_argument("--overlay", action="append", default=[], help="a file")
    parser.add_argument("--jobs", default=4, help="at a time (default: one a core)")
    said = parser.format_help()
    assert said.count("(default") == 2 and "of the draws (default: 0)" in said and "(default: one a core)" in said


@pytest.mark.parametrize(("run", "name"), [*((main, verb) for verb in VERBS), *((data_lists, d) for d in DATASETS)])
def test_no_command_tells_that_a_default_is_nothing(run, name: str, capsys) -> None:
    with pytest.raises(SystemExit):
        run([name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert not any(f"(default: {nothing})" in said for nothing in ("None", "False", "[]", "==SUPPRESS=="))
