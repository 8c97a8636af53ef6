"""Where a study is, from what its steps left: by files made as a runner makes them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pipeline.files.claims import claimed
from pipeline.study.status import State, show, states
from pipeline.study.step import Step


def finished(folder: Path, name: str, seconds: float, inputs: str) -> Step:
    step = Step(name, folder, [], "key")
    step.start(inputs)
    (folder / "model.pt").write_text(name)
    step.finish(inputs, seconds)
    return step


def kinds(found: list[State]) -> list[str]:
    return [state.kind for state in found]


def test_what_rests_on_something_that_is_not_done_is_to_do(tmp_path: Path) -> None:
    first = finished(tmp_path / "1", "a fold 0 train", 12, "labels")
    second = Step("a fold 0 evaluate", tmp_path / "2", [], "key")
    second.start("x")
    (tmp_path / "2" / "resume.pt").touch()
    (tmp_path / "2" / "config.yaml").write_text("max_epochs: 10\n")
    (tmp_path / "2" / "history.csv").write_text("epoch,val_loss\n1,0.5\n2,0.4\n")
    found = list(states([first, second], "labels"))
    assert kinds(found) == ["done", "to do"] and found[0].seconds == 12
    assert found[1].said == "goes on behind epoch 2 of at most 10"
    assert kinds(list(states([first, second], "corrected labels"))) == ["to do", "to do"]
    assert kinds(list(states([first], None))) == ["to do"]
    (tmp_path / "1" / "model.pt").unlink()
    assert kinds(list(states([first, second], "labels"))) == ["to do", "to do"]


def test_a_failed_step_says_why(tmp_path: Path) -> None:
    step = Step("a fold 0 train", tmp_path / "1", [], "key")
    step.start("labels")
    step.fail("exam E7: no T2", 1)
    (found,) = states([step], "labels")
    assert (found.kind, found.said) == ("failed", "exam E7: no T2 (exit status 1)")


def test_a_running_step_says_where_since_when_and_at_which_epoch(tmp_path: Path) -> None:
    step = Step("a fold 0 train", tmp_path / "1", [], "key")
    with claimed(step.folder, print) as claim:
        claim.works(os.getpid(), since=time.time() - 100, epochs=2, log="log.train.txt", offset=0)
        (tmp_path / "1" / "config.yaml").write_text("max_epochs: 12\n")
        (tmp_path / "1" / "history.csv").write_text("epoch,val_loss\n" + "".join(f"{i},0.5\n" for i in range(1, 8)))
        (found,) = states([step], "labels")
        # Five epochs of this run in 100 s: five more take 100 s.
        assert found.kind == "running" and f"(process {os.getpid()}): epoch 8 of at most 12, loss 0.500" in found.said
        assert found.said.endswith("2 min so far, about 2 min left")
        assert abs(found.seconds - 100) < 20 and found.left is not None and abs(found.left - found.seconds) < 1
    assert kinds(list(states([step], "labels"))) == ["to do"]  # its claim went with it


def test_the_last_line_counts_and_estimates(tmp_path: Path, capsys) -> None:
    def step(name: str) -> Step:
        return Step(name, tmp_path / name, [])

    every = [State(step("prepare"), "done", "10 s", 10.0), State(step("a fold 0 train"), "done", "60 s", 60.0),
             State(step("a fold 1 train"), "running", "…", 20.0),
             State(step("b fold 0 train"), "running", "…", 5.0, 30.0),
             State(step("a fold 2 train"), "to do")]
    assert show(every) == 0
    # 60 − 20 and 30 of those that run, 60 of the one that waits, two at a time.
    assert capsys.readouterr().out.splitlines()[-1] == (
        "2 of 5 steps done, 2 running, 0 failed, 1 to do; 2 min of work so far, about 65 s left with 2 at a time")
    assert show([*every, State(step("c fold 0 train"), "failed", "no such thing (exit status 1)")]) == 1
    assert "c fold 0 train  failed   no such thing (exit status 1)" in capsys.readouterr().out
    assert show(every[:2]) == 0 and "left" not in capsys.readouterr().out
