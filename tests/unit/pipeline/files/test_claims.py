"""Claims: whose is taken, and whose is waited for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from pipeline.files import claims
from pipeline.files.claims import CLAIM, claimed, holder


def never(other: dict) -> None:
    pytest.fail("nobody is there to wait for")


def test_a_claim_of_the_dead_is_taken_and_one_of_the_living_waited_for(tmp_path) -> None:
    script = ("import sys, os, time; from pipeline.files.claims import claimed\n"
              "with claimed(sys.argv[1], print):\n    print('held', flush=True); time.sleep(60)")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    assert holder(tmp_path)["pid"] == process.pid

    def wait(other: dict) -> None:
        assert other["pid"] == process.pid
        process.kill()
        process.wait()

    with claimed(tmp_path, wait):
        assert (tmp_path / CLAIM).exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_claim_on_another_host_is_stale_when_it_was_not_renewed(tmp_path) -> None:
    (tmp_path / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert holder(tmp_path) == {"host": "elsewhere", "pid": 1}
    os.utime(tmp_path / CLAIM, (1, 1))
    assert holder(tmp_path) is None


@pytest.mark.parametrize("change, held", [
    ({}, False),  # no such process here
    ({"place": "pid:[1]"}, True),  # of another container on this machine, whose processes are not to be seen
    ({"boot": "before"}, False),  # of before the machine was started
])
def test_processes_of_another_container_are_not_taken_for_dead(tmp_path, change, held) -> None:
    with claimed(tmp_path, never) as claim:
        content = {**claim.content, "pid": 2**22 - 1, "pid_began": "1", **change}
    (tmp_path / CLAIM).write_text(json.dumps(content))
    assert (holder(tmp_path) is not None) is held


def test_a_claim_tells_of_the_work(tmp_path) -> None:
    with claimed(tmp_path, never) as claim:
        claim.works(os.getpid(), epochs=3)
        assert holder(tmp_path) == {"host": socket.gethostname(), "pid": os.getpid(), "epochs": 3}


def test_who_was_thought_dead_is_told_that_another_has_taken_over(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.02)
    lost = threading.Event()
    with claimed(tmp_path, never, lost.set) as claim:
        assert not lost.wait(0.1) and claim.is_ours()
        (tmp_path / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "another"}))
        assert lost.wait(5) and not claim.is_ours()
    assert json.loads((tmp_path / CLAIM).read_text())["host"] == "elsewhere"  # and it stays


def test_a_claim_that_is_looked_at_by_others_for_a_moment_is_not_lost(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.2)
    lost = threading.Event()
    with claimed(tmp_path, never, lost.set):
        (tmp_path / CLAIM).rename(tmp_path / "aside")
        assert not lost.wait(0.3)  # one beat without it
        (tmp_path / "aside").rename(tmp_path / CLAIM)
        assert not lost.wait(0.5)
        (tmp_path / CLAIM).unlink()
        assert lost.wait(5)
