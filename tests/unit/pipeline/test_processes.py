"""Work in several processes ends together: a SIGTERM leaves nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.errors import InputError
from pipeline.processes import cores, every_nth, shared

WORK = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background would ignore
from pipeline.processes import shared
def work(item):
    print("begun", flush=True)
    time.sleep(60)
list(shared(work, [1, 2, 3], workers=2, disable=True))
"""


def test_every_item_is_worked_on_once() -> None:
    assert sorted(shared(abs, [-3, -2, 1], workers=1, disable=True)) == [1, 2, 3]


def test_every_nth_is_all_the_work_and_none_of_it_twice() -> None:
    assert [list(range(7))[every_nth("shard", f"{i}/3")] for i in range(3)] == [[0, 3, 6], [1, 4], [2, 5]]
    for text in ("3/3", "1", "-1/3", "1/0", "a/b"):
        with pytest.raises(InputError, match=f"--shard {text}: give I/N"):
            every_nth("shard", text)


def test_a_job_s_cores_are_those_that_it_was_given(monkeypatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    own = cores()
    assert 1 <= own <= (os.cpu_count() or 1)
    for given, wanted in (("1", 1), (str(own + 5), own), ("", own)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
        assert cores() == wanted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_workers_too(number) -> None:
    parent = subprocess.Popen([sys.executable, "-c", WORK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              start_new_session=True, text=True)
    assert parent.stdout.read(12).split() in (["begun"] * 2, ["begunbegun"])
    parent.send_signal(number)
    assert parent.wait(timeout=20) != 0
    for _ in range(100):
        try:
            os.killpg(parent.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(parent.pid, signal.SIGKILL)
    pytest.fail("a worker lives on")
