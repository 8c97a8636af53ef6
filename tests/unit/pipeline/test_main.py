"""The command line's verbs: each is there, explains itself, and ends as it should."""

from __future__ import annotations

import pytest

from pipeline.__main__ import VERBS, main


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and f"python -m pipeline {verb}" in said and "--" in said


def test_an_unknown_verb_and_none_are_refused(capsys) -> None:
    for words in (["rapport"], []):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
    assert "verify" in capsys.readouterr().err  # what there is


def test_input_that_cannot_be_used_is_one_line_and_a_status(tmp_path, capsys) -> None:
    assert main(["report", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and len(said.err.splitlines()) == 1
