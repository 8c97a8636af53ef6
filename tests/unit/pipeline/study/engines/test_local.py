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
from pipeline.files import claims
from pipeline.files.claims import claimed, holder
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


def test_what_another_works_on_is_left_until_nothing_else_is_to_do(tmp_path, capsys) -> None:
    held, free = command(tmp_path / "1", "one"), command(tmp_path / "2", "two")
    with claimed(held.folder, print):
        runner = threading.Thread(target=Runner(1).run_all, args=([[held], [free]], "labels"))
        runner.start()
        while not free.is_done("labels"):
            time.sleep(0.02)
        assert not (held.folder / "log.said").exists()
    runner.join()
    assert said(held, free) == ["one ", "two "]
    assert "one fold 0 train: process" in (told := capsys.readouterr().out) and "other steps first" in told


def test_a_step_that_fails_is_tried_again_so_often(tmp_path, capsys) -> None:
    folder = tmp_path / "1"
    script = (f"from pathlib import Path; n = Path({str(folder / 'log.n')!r}); k = len(n.read_text()) if n.exists() "
              "else 0; n.write_text('x' * (k + 1))\nif k < 2: raise SystemExit('error: not yet')")
    step = Step("own fold 0 train", folder, [sys.executable, "-c", script], "key")
    with pytest.raises(InputError, match="not yet"):
        Runner(1, retry=1).run_chain([step], 1, "labels")
    assert (folder / "log.n").read_text() == "xx"
    Runner(1, retry=1).run_chain([step], 1, "labels")
    assert (folder / "log.n").read_text() == "xxx" and step.is_done("labels")
    assert capsys.readouterr().out.count("again, 1 of 1 tries left") == 1 and not (folder / "failed.json").exists()


def test_a_runner_whose_claim_was_taken_over_stops_and_leaves_the_step_to_the_other(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(claims, "BEAT", 0.05)
    step = command(tmp_path / "1", "one", seconds=60)

    def take_over() -> None:
        while not (step.folder / "log.said").exists():
            time.sleep(0.02)
        (step.folder / claims.CLAIM).write_text('{"host": "elsewhere", "pid": 1, "token": "another"}')

    other = threading.Thread(target=take_over)
    other.start()
    with pytest.raises(InputError, match="one fold 0 train: another runner took it over"):
        Runner(1, retry=3).run_chain([step], 1, "labels")
    other.join()
    assert not (step.folder / "done.json").exists() and not (step.folder / "failed.json").exists()
    assert holder(step.folder)["host"] == "elsewhere"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no place that is always full")
def test_a_full_disk_in_one_step_ends_its_chain_with_one_line_and_no_other(tmp_path) -> None:
    full, free = command(tmp_path / "1", "one"), command(tmp_path / "2", "two")
    full.command[-1] = "with open('/dev/full', 'w') as file: file.write('x')"
    full.folder.mkdir()
    (full.folder / "failed.json").mkdir()  # neither can what went wrong be noted
    full.start = lambda inputs: None  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"1 of 2 runs failed, the first: one fold 0 train: .*No space left on device"):
        Runner(1).run_all([[full], [free]], "labels")
    assert free.is_done("labels") and not full.is_done("labels")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no place that not even root may write to")
def test_a_folder_that_cannot_be_written_ends_its_chain_with_one_line(tmp_path) -> None:
    refused, free = command(Path("/sys/kernel/run"), "one"), command(tmp_path / "2", "two")
    with pytest.raises(InputError, match="run: cannot be written"):
        Runner(1).run_all([[refused], [free]], "labels")
    assert free.is_done("labels")


def test_several_gpus_are_shared_out_by_those_that_the_scheduler_gave(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    script = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], file=open('/dev/stdout', 'w'))"
    steps = [Step(f"{i} fold 0 train", tmp_path / str(i), [sys.executable, "-c", script], "k") for i in range(2)]
    runner = Runner(None)
    assert runner.jobs == 2
    for slot, step in enumerate(steps):
        runner.run_chain([step], 1, "labels", slot)
    assert [(step.folder / "log.train.txt").read_text() for step in steps] == ["2\n", "5\n"]


def test_several_processes_share_threads_and_gpus_of_a_run(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,5,7")
    script = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['OMP_NUM_THREADS'])"
    runner = Runner(None, processes=2)
    runner.demand_gpus()
    assert runner.jobs == 2  # the fifth is left over
    for slot, processes in enumerate((2, 1)):
        step = Step(f"{slot} fold 0 train", tmp_path / str(slot), [sys.executable, "-c", script], "k",
                    processes=processes)
        runner.run_chain([step], 8, "labels", slot)
    assert [(tmp_path / str(slot) / "log.train.txt").read_text() for slot in (0, 1)] == ["0,1 4\n", "2,5 8\n"]
    with pytest.raises(InputError, match="--processes 6: a process takes a GPU, and this machine has 5; give as many"):
        Runner(None, processes=6).demand_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("pipeline.study.engines.local.cores", lambda: 4)
    assert Runner(None, processes=2).jobs == 2 and Runner(None, processes=8).jobs == 1
    Runner(None, processes=8).demand_gpus()  # of CPU processes there may be any number


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
