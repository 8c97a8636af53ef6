"""One process alone, and two that train together: what they learn, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trainings
from commands import ROOT
from torch import nn

from pipeline.errors import InputError
from pipeline.training import distributed

ONE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1",
               "CUDA_VISIBLE_DEVICES": ""}


def torchrun(*words: object, processes: int = 2, **environment: str) -> subprocess.CompletedProcess[str]:
    for _ in range(3):  # gloo aborts a process in one of some hundred runs (open upstream); an error is no abort
        ended = subprocess.run([*ONE, str(processes), *map(str, words)], capture_output=True, text=True, timeout=300,
                               env={**ENVIRONMENT, **environment}, cwd=ROOT)
        if "terminate called" not in ended.stderr:
            break
    return ended


def test_one_process_shares_with_nobody(monkeypatch) -> None:
    for name in ("WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    distributed.start()
    network = nn.Linear(1, 1)
    assert distributed.share(network) is network and distributed.is_first()
    assert (distributed.announced(), distributed.count(), distributed.own_number()) == (1, 1, 0)
    assert distributed.share_of(3) == 3
    assert distributed.gather("mine") == ["mine"] and distributed.mean(torch.tensor(3.0)) == 3
    assert distributed.last_word(InputError("a line")) == "a line" and distributed.last_word(KeyError("a")) is None
    if not torch.cuda.is_available():
        assert distributed.device() == torch.device("cpu")
    distributed.stop()


def test_more_processes_than_gpus_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match="process 3 of this machine finds 2 GPUs; start torchrun with one process a"):
        distributed.device()


@pytest.mark.parametrize("processes, batch_size, share", [(2, 4, 2), (4, 4, 1), (3, 4, None), (2, 1, None)])
def test_a_step_is_shared_equally_or_not_at_all(monkeypatch, processes, batch_size, share) -> None:
    monkeypatch.setattr(distributed, "count", lambda: processes)
    if share is not None:
        assert distributed.share_of(batch_size) == share
    else:
        with pytest.raises(InputError, match=f"batch_size {batch_size}: {processes} processes cannot share a step's"):
            distributed.share_of(batch_size)


@pytest.fixture(scope="module")
def shared(tiny_prepared, tiny_lesions, tiny_exams, tiny_crops, tiny_views, tmp_path_factory) -> Path:
    """What two processes made of every training, one after the other in one start of torchrun."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "data").mkdir()
    for name, prepared in {"breasts": tiny_prepared, "lesions": tiny_lesions, "exams": tiny_exams, "crops": tiny_crops,
                           "views": tiny_views}.items():
        (folder / "data" / name).symlink_to(prepared)
    ended = torchrun(ROOT / "tests" / "helpers" / "trainings.py", folder, *trainings.TRAININGS,
                     *trainings.DETECTORS)
    assert ended.returncode == 0, ended.stderr[:3000]
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", trainings.TRAININGS)
def test_two_processes_learn_what_one_learns(shared, name, tmp_path) -> None:
    """The same losses, step by step, to one in 10,000: sums are taken in another order."""
    accumulate = 2 if name == "doubly_deep" else 1  # exams differ in shape
    more = {"batch_size": 1, "cases_per_epoch": 2 * trainings.STEPS} if accumulate == 2 else {}
    alone = trainings.train(name, shared / "data", tmp_path, 1, accumulate, **more)
    first, second = (json.loads((shared / f"{name}.{rank}.json").read_text()) for rank in (0, 1))
    cases = 3 if accumulate == 2 else 5  # an odd number: the first process has a batch more, and none is seen twice
    assert (first["validated"], second["validated"], alone["validated"]) == (
        [cases // 2 + 1] * 2, [cases // 2] * 2, [cases] * 2)
    for part in ("losses", "metrics", "best", "weights"):
        assert json.dumps(first[part]) == json.dumps(second[part])  # as texts: an AUROC of one class is no number
    assert len({path.name.split(".")[-2] for path in (shared / name).glob("events.out.tfevents.*")}) == 1  # process id
    losses = np.reshape(alone["losses"], (-1, accumulate)).mean(axis=1)
    assert first["losses"] == pytest.approx(losses, rel=1e-4) and len(set(first["losses"])) == len(losses) == 6
    for here, there in zip(first["metrics"], alone["metrics"], strict=True):
        assert here == pytest.approx(there, rel=1e-4, nan_ok=True) and len(here) > 1
    assert first["best"] == pytest.approx(alone["best"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", trainings.DETECTORS)
def test_two_processes_train_one_detector(shared, name) -> None:
    """The same losses, precision, choice of epochs and weights in both, each of which saw its own cases."""
    first, second = (json.loads((shared / f"{name}.{rank}.json").read_text()) for rank in (0, 1))
    assert (first.pop("validated"), second.pop("validated")) == ([3, 3], [2, 2])
    assert json.dumps(first) == json.dumps(second)
    assert len(set(first["losses"])) == 6 and np.isfinite(first["losses"]).all()
    kept = {path.name: torch.load(path, weights_only=True) for path in (shared / name).glob("model*.pt")}
    assert set(kept) == {"model.pt", "model_epoch1.pt", "model_epoch2.pt"}
    one, two = kept["model_epoch1.pt"], kept["model_epoch2.pt"]
    assert all(torch.isfinite(tensor).all() for tensor in two.values())
    assert any(not torch.equal(one[key], two[key]) for key in one)
    best = kept["model.pt"]
    assert all(torch.equal(best[key], kept[f"model_epoch{first['best'][0]}.pt"][key]) for key in best)


@pytest.mark.slow
def test_a_killed_process_ends_the_run_with_one_line_and_it_goes_on(shared, tmp_path) -> None:
    """Killed in the second epoch; two processes then end bit by bit as if nothing had been, one within rounding."""
    (tmp_path / "data").symlink_to(shared / "data")
    script = ROOT / "tests" / "helpers" / "trainings.py"
    ended = torchrun(script, tmp_path, "breasts", KILLED="1:5")
    assert ended.returncode != 0 and time.time() - (tmp_path / "breasts" / "killed").stat().st_mtime < 60
    ours = ended.stderr.count("error: another process of this run has ended; the")
    assert ended.stderr.count("error: ") == ours <= 1  # none where torchrun ends the other before it notices
    assert "RuntimeError" not in ended.stderr and "SIGKILL" in ended.stderr  # torchrun says which
    shutil.copytree(tmp_path / "breasts", tmp_path / "alone")
    state = torch.load(tmp_path / "alone" / "resume.pt", weights_only=True)
    assert (state["epoch"], state["iteration"], len(state["random"])) == (1, 3, 2)

    whole = json.loads((shared / "breasts.0.json").read_text())
    ended = torchrun(script, tmp_path, "breasts")
    assert ended.returncode == 0 and ended.stdout.count("resumed: epoch 1 of 2 is on disk") == 1, ended.stderr[:3000]
    parts = json.loads((tmp_path / "breasts.0.json").read_text())
    assert (parts["weights"], parts["losses"], parts["best"]) == (whole["weights"], whole["losses"][3:], whole["best"])
    one = trainings.train("breasts", tmp_path / "data", tmp_path / "alone", 1)
    assert one["losses"] == pytest.approx(whole["losses"][3:], rel=1e-4)
    assert one["best"] == pytest.approx(whole["best"], rel=1e-4)


@pytest.mark.e2e
def test_two_machines_meet_at_a_rendezvous(shared, tmp_path) -> None:
    """Two starts of torchrun on loopback, as on two machines, learn what one start of two processes does."""
    (tmp_path / "data").symlink_to(shared / "data")
    words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend",
             "c10d", "--rdzv-endpoint", "127.0.0.1:29417", "--rdzv-id", "test",
             str(ROOT / "tests" / "helpers" / "trainings.py"), str(tmp_path), "breasts"]
    machines = [subprocess.Popen(words, env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for machine in machines:
        _, said = machine.communicate(timeout=300)
        assert machine.returncode == 0, said[:3000]
    found = [json.loads((folder / "breasts.0.json").read_text()) for folder in (shared, tmp_path)]
    assert found[0]["losses"] == pytest.approx(found[1]["losses"], rel=1e-6)
