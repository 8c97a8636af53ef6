"""Claims: whose is taken, and whose is waited for."""

from __future__ import annotations

import json
import subprocess
import sys

from pipeline.files.claims import CLAIM, claimed, holder


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
    import os

    (tmp_path / CLAIM).write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert holder(tmp_path) == {"host": "elsewhere", "pid": 1}
    os.utime(tmp_path / CLAIM, (1, 1))
    assert holder(tmp_path) is None
