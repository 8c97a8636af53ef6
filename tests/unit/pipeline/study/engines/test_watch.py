"""What a running step is at, read from what it leaves; and how long a study may take."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.study.engines.watch import Running, Watch, clock, last_words, remaining

BAR = "prepare:  50%|█████     | 120/240 [01:00<01:02,  1.9exam/s]"


def training(folder: Path, epochs: int) -> Running:
    (folder / "config.yaml").write_text("# torch: 2\nlr: 0.1\nmax_epochs: 10\nbatch_size: 2\n")
    rows = [f"{i},0.01,{1 / i:.4f}" for i in range(1, epochs + 1)]
    (folder / "history.csv").write_text("\n".join(["epoch,learning_rate,val_loss", *rows]) + "\n")
    return Running("own fold 0 train", folder, folder / "log", began=0.0)


def test_a_training_is_told_by_its_epochs(tmp_path: Path) -> None:
    assert training(tmp_path, 0).line(30) == "own fold 0 train: epoch 1 of at most 10, 30 s so far"
    # Four epochs in 200 s: six more take 300 s.
    assert training(tmp_path, 4).line(200) == (
        "own fold 0 train: epoch 5 of at most 10, loss 0.250, 3 min so far, about 5 min left")


def test_epochs_of_an_earlier_run_took_no_time_of_this_one(tmp_path: Path) -> None:
    step = training(tmp_path, 4)
    step.epochs = 3
    assert "about 6 min left" in step.line(60)  # one epoch in 60 s, six to come
    step.epochs = 4
    assert "left" not in step.line(60)


def test_a_preparation_is_told_by_its_bar_of_this_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"old 9/9 [00:01<00:00]\n{BAR}\r")
    step = Running("prepare", tmp_path, log, began=0.0)
    assert step.line(60) == "prepare: 120 of 240, 60 s so far, about 62 s left"
    log.write_text(BAR + "\n" + "a line\n" * 2000)
    assert step.line(60) == "prepare: 60 s so far"  # long past
    step.offset = log.stat().st_size
    with log.open("a") as file:
        file.write("prepare:   0%|          | 0/240 [00:00<?, ?exam/s]")
    assert step.line(1) == "prepare: 0 of 240, 1 s so far"


def test_damaged_files_are_no_matter(tmp_path: Path) -> None:
    step = training(tmp_path, 2)
    (tmp_path / "history.csv").write_bytes(b"epoch,val_loss\nx,\xff\n")
    (tmp_path / "config.yaml").write_text("nothing")
    assert step.line(5) == "own fold 0 train: 5 s so far"


def test_in_a_pipe_a_line_now_and_then_and_none_after_the_end(tmp_path: Path, capsys) -> None:
    (tmp_path / "log").write_text(BAR)
    watch = Watch(Console(file=io.StringIO(), force_terminal=False), every=0.05)
    with watch.of("prepare", tmp_path, tmp_path / "log"):
        time.sleep(0.18)
    said = capsys.readouterr().out
    assert 1 <= said.count("  prepare: 120 of 240") <= 4
    time.sleep(0.12)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_every_running_step_has_a_line_that_goes_with_it(tmp_path: Path) -> None:
    shown = io.StringIO()
    watch = Watch(Console(file=shown, force_terminal=True, width=100))
    with watch.of("one fold 0 train", tmp_path, tmp_path / "none"):
        with watch.of("two fold 0 train", tmp_path, tmp_path / "none"):
            assert [line.partition(":")[0] for line in watch.lines()] == ["one fold 0 train", "two fold 0 train"]
            assert watch.live is not None
            watch.live.refresh()
        assert "one fold 0 train" in shown.getvalue() and "two fold 0 train" in shown.getvalue()
    assert watch.live is None and watch.lines() == []


def test_a_notebook_or_build_server_that_wants_colours_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not Watch().console.is_terminal


@pytest.mark.parametrize(("finished", "waiting", "jobs", "seconds"), [
    ([], ["a fold 0 x"], 1, None),
    ([("a fold 0 x", 60.0)], ["a fold 1 x", "a fold 2 x"], 1, 120),
    ([("a fold 0 x", 60.0)], ["a fold 1 x", "a fold 2 x"], 2, 60),
    ([("a fold 0 x", 60.0)], ["a fold 1 x"], 8, 60),
    ([("a fold 0 x", 60.0), ("a fold 1 x", 80.0), ("a fold 0 y", 10.0)], ["a fold 2 x", "a fold 2 y", "b fold 0 z"], 1,
     70 + 10 + 50),
])
def test_what_is_left_goes_by_steps_of_the_same_kind(finished, waiting, jobs, seconds) -> None:
    assert remaining(finished, waiting, jobs) == seconds


def test_times_as_people_say_them() -> None:
    assert [clock(s) for s in (5, 89.4, 90, 3600, 7200)] == ["5 s", "89 s", "2 min", "60 min", "2.0 h"]


ENDED = """E1122 02:58:07.338000 5953 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
Failures:
[1]:
  rank      : 0 (local_rank: 0)
  exitcode  : 143 (pid: 6081)
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : {} (pid: 6082)
  error_file: <N/A>
  traceback : {}
============================================================
"""
UNKNOWN = "To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html"


@pytest.mark.parametrize("said, wanted", [
    ("error: no such thing\nTerminated\n", "no such thing"), ("one\ntwo\n", "two"), ("", "no output"),
    ("[rank1]: error: no such thing\n" + ENDED.format(1, UNKNOWN), "no such thing"),
    ("[rank1]: ValueError: five\n" + ENDED.format(1, UNKNOWN), "[rank1]: ValueError: five"),
    ("[rank0]: error: another process of this run has ended\n" + ENDED.format("-9", "Signal 9 (SIGKILL) received by"),
     "process 2 of those that train together was ended by Signal 9 (SIGKILL)")])
def test_what_a_step_said_last_behind_what_it_said_in_an_earlier_try(tmp_path, said, wanted) -> None:
    """torchrun's table, as it wrote it, ends every log of several processes."""
    log = tmp_path / "log"
    log.write_text("error: before\n" + said)
    assert last_words(log, len("error: before\n")) == wanted
