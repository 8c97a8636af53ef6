"""A study, or one of two processes that train together, killed at random moments ends bit by bit as if left alone."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from commands import ROOT, ok, run

from pipeline.files.atomic import lives
from pipeline.files.claims import CLAIM, holder

SMALL = "max_epochs: 3\ncases_per_epoch: 8\nworkers: 0\nprecision: fp32\nval_interval: 1\n"
WANTED = ("metrics.json", "naive_1e-4/fold0/predictions.csv")


def words(cohort: Path, folder: Path) -> list[object]:
    small = folder.parent / "small.yaml"
    small.write_text(SMALL)
    return ["study", "bundles/breast_mri_curriculum", "--datalist", cohort / "list.json", "--out", folder, "--preset",
            "demo", "--folds", "1", "--variants", "naive_1e-4", "--jobs", "1", "--overlay", small]


def results(folder: Path) -> tuple[list[bytes], dict[str, torch.Tensor]]:
    ok(run("pipeline", "report", folder, "--replicates", "100"))
    return ([(folder / name).read_bytes() for name in WANTED],
            torch.load(folder / "naive_1e-4" / "fold0" / "breasts" / "model.pt"))


@pytest.fixture(scope="module")
def cohort(_written_phantom, tmp_path_factory) -> Path:
    return Path(shutil.copytree(_written_phantom, tmp_path_factory.mktemp("kills") / "cohort"))


@pytest.fixture(scope="module")
def left_alone(cohort, tmp_path_factory) -> tuple[float, tuple, Path]:
    folder = tmp_path_factory.mktemp("alone") / "run"
    start = time.monotonic()
    assert begin(cohort, folder).wait() == 0
    return time.monotonic() - start, results(folder), folder


def begin(cohort: Path, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """The study as a user starts it: all its processes are its own children."""
    return subprocess.Popen([sys.executable, "-m", "pipeline", *map(str, words(cohort, folder)), *more], cwd=ROOT,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_at_random(cohort: Path, folder: Path, seconds: float, times: int, seed: int) -> None:
    """Run the study, killing it so many times: the whole of it, or its master alone, by SIGKILL or SIGTERM."""
    draw = random.Random(seed)
    for _ in range(times):
        study = begin(cohort, folder)
        try:
            study.wait(timeout=draw.uniform(1, seconds * 0.8))
        except subprocess.TimeoutExpired:
            if draw.random() < 0.5:  # its child, as the kernel does where memory runs out
                subprocess.run(["pkill", "-KILL", "-P", str(study.pid)], check=False)
            study.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM]))
            study.wait()
    assert begin(cohort, folder).wait() == 0  # as those before: sums of one and of two threads differ in rounding


@pytest.mark.slow
def test_three_kills(cohort, left_alone, tmp_path) -> None:
    check(cohort, left_alone, tmp_path / "run", times=3, seed=0)


@pytest.mark.e2e
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 5))
def test_sixteen_kills(cohort, left_alone, tmp_path, seed) -> None:
    check(cohort, left_alone, tmp_path / "run", times=4, seed=seed)


def together(data: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Six epochs of two processes, begun or gone on with."""
    bundle = "bundles/breast_mri_curriculum"
    files = [f"{bundle}/configs/train.yaml", f"{bundle}/configs/naive.yaml", "bundles/common/multi_gpu.yaml"]
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "monai.bundle",
         "run", "--bundle_root", bundle, "--config_file", str(files), "--dataset_dir", str(data), "--output_dir",
         str(folder), "--ckpt_dir", str(folder), "--cases_per_epoch", "8", "--batch_size", "4", "--workers", "0",
         "--max_epochs", "6"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""})


def trained(folder: Path) -> tuple[bytes, dict[str, torch.Tensor]]:
    return (folder / "history.csv").read_bytes(), torch.load(folder / "model.pt")


@pytest.mark.e2e
@pytest.mark.timeout(3600)
def test_four_kills_of_torchrun_or_one_of_its_processes(tiny_prepared, tmp_path) -> None:
    start = time.monotonic()
    assert together(tiny_prepared, tmp_path / "whole").wait() == 0
    seconds, (history, weights) = time.monotonic() - start, trained(tmp_path / "whole")
    draw = random.Random(7)
    for victim in (1, 2, 0, 1):  # 0 is torchrun itself: what it started must not go on without it
        run = together(tiny_prepared, tmp_path / "parts")
        time.sleep(draw.uniform(0.4, 0.9) * seconds)  # the beginning is imports
        found = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=False)
        own = [int(process) for process in found.stdout.split()]
        if run.poll() is not None or len(own) < 2:
            continue
        os.kill([run.pid, *own][victim], signal.SIGKILL)
        run.wait(timeout=60)
        deadline = time.monotonic() + 60
        while any(map(lives, own)):
            assert time.monotonic() < deadline, "a process goes on alone"
            time.sleep(0.2)
    assert together(tiny_prepared, tmp_path / "parts").wait() == 0
    again, other = trained(tmp_path / "parts")
    assert again == history and all(torch.equal(other[name], weights[name]) for name in weights)


@pytest.fixture
def untrained(left_alone, tmp_path: Path) -> Path:
    """The study with its exams prepared and nothing trained."""
    folder = Path(shutil.copytree(left_alone[2], tmp_path / "run"))
    shutil.rmtree(folder / "naive_1e-4")
    return folder


def demand_same_to_rounding(folder: Path, wanted: Path) -> None:
    """The same losses of every epoch and the same scores; sums were taken in another order."""
    tables = [[pd.read_csv(each / "naive_1e-4" / "fold0" / name) for each in (folder, wanted)]
              for name in ("breasts/history.csv", "predictions.csv")]
    for name, (found, other), close in zip(("val_loss", "score"), tables, (1e-5, 1e-3), strict=True):
        assert found[name].to_numpy() == pytest.approx(other[name].to_numpy(), rel=close)
        assert len(found) >= 3 and found[name].nunique() > 1
    assert tables[1][0].drop(columns="score").equals(tables[1][1].drop(columns="score"))


@pytest.mark.slow
def test_two_processes_that_share_a_study_s_trainings_make_the_same_table(cohort, left_alone, untrained) -> None:
    """By steps of as many cases: `batch_size` is a step's."""
    assert begin(cohort, untrained, "--processes", "2").wait() == 0
    demand_same_to_rounding(untrained, left_alone[2])
    record = (untrained / "naive_1e-4" / "fold0" / "breasts" / "config.yaml").read_text()
    assert "\nbatch_size: 4\n" in record and "\nprocesses: 2\n" in record
    one, two = (json.loads((each / "naive_1e-4" / "fold0" / "breasts" / "done.json").read_text())
                for each in (left_alone[2], untrained))
    assert (one["key"], one["inputs"]) == (two["key"], two["inputs"])


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_two_processes_are_stopped_and_one_of_them_is_killed(cohort, left_alone, untrained) -> None:
    """A study that is stopped leaves no process and no claim; a step that fails with one of them is tried again."""
    run = untrained / "naive_1e-4" / "fold0" / "breasts"
    log = run / "log.breasts.txt"

    def of(study: subprocess.Popen[bytes]) -> list[int]:
        """torchrun and its two processes."""
        (torchrun,) = psutil.Process(study.pid).children()
        return [torchrun.pid, *(child.pid for child in torchrun.children())]

    def wait_for(said: str) -> None:
        end = time.monotonic() + 120
        while said not in (log.read_text() if log.is_file() else ""):
            assert time.monotonic() < end
            time.sleep(0.1)

    study = begin(cohort, untrained, "--processes", "2")
    wait_for("Epoch[2] Metrics")  # the first epoch is on the disk
    own = of(study)
    study.terminate()
    assert study.wait(timeout=60) == 130 and len(own) == 3 and not any(map(lives, own))
    assert holder(run) is None and not (run / CLAIM).exists() and (run / "resume.pt").is_file()

    study = begin(cohort, untrained, "--processes", "2", "--retry", "1")
    wait_for("resumed: epoch")
    os.kill(of(study)[2], signal.SIGKILL)
    assert study.wait(timeout=200) == 0
    assert log.read_text().count("resumed: epoch") == 2
    demand_same_to_rounding(untrained, left_alone[2])


def check(cohort: Path, left_alone: tuple, folder: Path, times: int, seed: int) -> None:
    seconds, (files, weights), _ = left_alone
    kill_at_random(cohort, folder, seconds, times, seed)
    again, found = results(folder)
    assert again == files
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    assert not [path for path in folder.rglob(".*") if path.name.endswith(".part") or path.name.startswith(".claim")]
    assert "0 files are not whole" in ok(run("pipeline", *words(cohort, folder), "--check"))
