"""Chains of steps as processes: what is done is skipped, what rests on a change is done again, two never collide."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.files.claims import holder
from pipeline.study.engines.local import Runner
from pipeline.study.step import Step


def command(folder: Path, word: str, seconds: float = 0) -> Step:
    """A step that writes a word to a file, and behind it every time that it ran to another, which is no result."""
    script = (f"import time; from pathlib import Path; p = Path({str(folder)!r}); r = p / 'resume.pt'; "
              f"(p / 'log.said').open('a').write('{word}' + ('+' if r.exists() else '') + ' '); r.touch(); "
              f"time.sleep({seconds}); (p / 'result').write_text('{word}')")
    return Step(f"{word} fold 0 train", folder, [sys.executable, "-c", script], word)


def said(*steps: Step) -> list[str]:
    return [(step.folder / "log.said").read_text() for step in steps]


def test_what_is_done_is_done_again_where_its_inputs_changed(tmp_path) -> None:
    first, second = command(tmp_path / "1", "one"), command(tmp_path / "2", "two")
    Runner(1).run_chain([first, second], 1, "labels")
    Runner(1).run_chain([first, second], 1, "labels")
    assert said(first, second) == ["one ", "two "]  # done before
    Runner(1).run_chain([first, second], 1, "corrected")
    assert said(first, second) == ["one one ", "two two "]  # afresh: nothing to go on from is left


def test_a_deleted_result_is_made_again_and_what_rests_on_it_stays_where_it_is_the_same(tmp_path) -> None:
    first, second = command(tmp_path / "1", "one"), command(tmp_path / "2", "two")
    Runner(1).run_chain([first, second], 1, "labels")
    (first.folder / "result").unlink()
    Runner(1).run_chain([first, second], 1, "labels")
    assert said(first, second) == ["one one ", "two "]


def test_a_failed_step_says_why_and_is_not_done(tmp_path) -> None:
    step = Step("own fold 0 train", tmp_path / "1", [sys.executable, "-c", "raise SystemExit('error: no such thing')"])
    with pytest.raises(InputError, match=r"own fold 0 train: no such thing \(exit status 1"):
        Runner(1).run_chain([step], 1, "labels")
    assert json.loads((step.folder / "failed.json").read_text()) == {"reason": "no such thing", "exit_status": 1}
    assert not step.is_done("labels") and holder(step.folder) is None


def test_two_runners_do_a_step_once(tmp_path) -> None:
    steps = [command(tmp_path / "1", "one", seconds=1), command(tmp_path / "2", "two")]
    runners = [threading.Thread(target=Runner(1).run_chain, args=(steps, 1, "labels")) for _ in range(2)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert said(*steps) == ["one ", "two "]


def test_a_worker_whose_master_was_killed_is_not_joined_by_another(tmp_path) -> None:
    step = command(tmp_path / "1", "one", seconds=3)
    script = ("import sys; from pathlib import Path; from pipeline.study.engines.local import Runner\n"
              "from pipeline.study.step import Step\n"
              f"Runner(1).run_chain([Step({step.name!r}, Path({str(step.folder)!r}), {step.command!r}, "
              "'one')], 1, 'l')")
    master = subprocess.Popen([sys.executable, "-c", script])
    while not (step.folder / "log.said").exists():
        time.sleep(0.05)
    master.kill()
    master.wait()
    assert holder(step.folder) is not None
    Runner(1).run_chain([step], 1, "l")
    assert said(step) == ["one one+ "]  # the second began when the first had ended, and went on where that was


def test_the_log_is_named_at_once_and_what_is_left_is_told_after_the_first_step(tmp_path, capsys) -> None:
    chains = [[command(tmp_path / word, word) for word in words] for words in (("a", "b"), ("c", "d"))]
    runner = Runner(1)
    runner.total = 4
    runner.run_all(chains, "labels")
    said = capsys.readouterr().out.splitlines()
    assert said[1] == f"  log: {tmp_path / 'a' / 'log.train.txt'}"
    done = [line for line in said if line.startswith("[")]
    assert [line.partition(" left for ")[2] for line in done] == ["3 steps", "2 steps", "1 step", ""]
