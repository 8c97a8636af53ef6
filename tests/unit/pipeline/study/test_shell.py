"""Commands that are printed are those that a shell runs."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from pipeline.study.shell import line


def test_a_list_of_configs_keeps_its_own_quotes_in_one_pair() -> None:
    assert line([sys.executable, "-m", "monai.bundle", "run", "--config_file", "['a/b.yaml', 'c.yaml']", "--fold", "0"]
                ) == "python -m monai.bundle run --config_file \"['a/b.yaml', 'c.yaml']\" --fold 0"


@pytest.mark.parametrize("word", ["a b", "it's", "it's $HOME", "it's `id`", 'both\'s "', "it's \\", "it's !1", "$x", "",
                                  "['a', 'b']", "l\ni'ne"])
def test_a_shell_reads_back_every_word(word: str) -> None:
    said = line(["printf", "%s|", word, "end"])
    assert shlex.split(said) == ["printf", "%s|", word, "end"]
    ended = subprocess.run(["bash", "-c", said], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{word}|end|"
