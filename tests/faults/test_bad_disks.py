"""A disk that fills up or may not be written: one line, a status that is not 0, nothing that looks finished."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
import warm_start
from commands import ROOT

from pipeline.networks.curriculum_resnet import CurriculumResNet


def limited(size: int, *words: object) -> subprocess.CompletedProcess[str]:
    """`python -m` its other words where no file may grow beyond so many bytes."""
    return warm_start.run(["tests.helpers.small_disk", str(size), *map(str, words)], ROOT,
                          {**os.environ, "OMP_NUM_THREADS": "1"})


def demand_one_line(ended: subprocess.CompletedProcess[str]) -> None:
    said = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.returncode != 0 and "Traceback" not in ended.stderr, ended.stderr[-3000:]
    assert len(said) == 1 and "cannot be" in said[0], ended.stderr[-3000:]


def demand_no_remains(folder: Path) -> None:
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part") or ".part." in path.name]


def test_phantom(tmp_path) -> None:
    demand_one_line(limited(10_000, "pipeline", "phantom", "breast_mri", "--output", tmp_path / "c", "--preset", "demo",
                            "--exams", 2, "--workers", 1))
    assert not list((tmp_path / "c").rglob("*.nii.gz"))


def test_verify_s_list_of_issues(phantom_cohort, tmp_path) -> None:
    demand_one_line(limited(10, "pipeline", "verify", phantom_cohort.list, "--json", tmp_path / "i.json", "--quick",
                            "--workers", 1))
    assert not list(tmp_path.glob("*.json*"))


def test_list(phantom_cohort, tmp_path) -> None:
    demand_one_line(limited(10, "data_lists", "csv", phantom_cohort.folder / "exams.csv", "-o", tmp_path / "l.json"))
    assert not (tmp_path / "l.json").exists()


def test_export(tmp_path) -> None:
    torch.save(CurriculumResNet(6, 2).state_dict(), tmp_path / "model.pt")
    demand_one_line(limited(1_000_000, "pipeline", "export", "bundles/breast_mri_curriculum", "--weights",
                            f"weights={tmp_path}/model.pt", "-o", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no place that not even root may write to")
@pytest.mark.parametrize("words", [
    ("data_lists", "csv", "{cohort}/exams.csv", "-o", "/sys/l.json"),
    ("pipeline", "phantom", "mammography", "--output", "/sys/c", "--exams", 1),
    ("pipeline", "verify", "{cohort}/list.json", "--json", "/sys/i.json", "--quick", "--workers", 1),
], ids=["list", "phantom", "verify"])
def test_a_place_that_may_not_be_written(phantom_cohort, words) -> None:
    demand_one_line(limited(10**9, *(str(word).replace("{cohort}", str(phantom_cohort.folder)) for word in words)))


@pytest.mark.slow
def test_training_and_evaluation(tiny_prepared, tmp_path) -> None:
    bundle = "bundles/breast_mri_curriculum"
    common = ["monai.bundle", "run", "--bundle_root", bundle, "--dataset_dir", tiny_prepared, "--fold", 0,
              "--workers", 0]
    train = [*common, "--config_file", f"['{bundle}/configs/train.yaml', '{bundle}/configs/naive.yaml', "
             "'bundles/common/smoke.yaml']", "--output_dir", tmp_path / "t", "--ckpt_dir", tmp_path / "t"]
    demand_one_line(limited(1_000_000, *train))
    demand_no_remains(tmp_path)
    assert not (tmp_path / "t" / "model.pt").exists()
    torch.save(CurriculumResNet(6, 2).state_dict(), tmp_path / "model.pt")
    evaluate = [*common, "--config_file", f"['{bundle}/configs/train.yaml', '{bundle}/configs/evaluate.yaml']",
                "--output_dir", tmp_path / "e", "--weights", tmp_path / "model.pt", "--map", "without"]
    demand_one_line(limited(100, *evaluate))
    demand_no_remains(tmp_path)
    assert not (tmp_path / "e" / "predictions.csv").exists()
