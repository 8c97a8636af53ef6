"""The curriculum bundle from exams to heat maps, each step the command that a user types."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import commands
import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from commands import ROOT, bundle_run, ok

pytestmark = pytest.mark.slow

BUNDLE = "bundles/breast_mri_curriculum"
SMALL = {"matrix": "[128,128,8]", "rows": 64}  # breasts of 64 x 64 x 8 voxels


def monai(*configs: str, cwd: Path = ROOT, root: str = BUNDLE, **settings: Any) -> str:
    """`python -m monai.bundle run` with these configs of the bundle (or paths with a slash); returns what it said."""
    return ok(commands.run(*bundle_run(root, *configs, **settings), cwd=cwd))


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def cohort(_written_phantom, work) -> Path:
    return Path(shutil.copytree(_written_phantom, work / "cohort"))


@pytest.fixture(scope="module")
def prepared(cohort, work) -> Path:
    monai("prepare", datalist=cohort / "list.json", output_dir=work / "prepared", workers=1, **SMALL)
    return work / "prepared"


@pytest.fixture(scope="module")
def backbone(prepared, work) -> Path:
    """Stage 1, two steps."""
    monai("train", "train_patches", "bundles/common/smoke.yaml", dataset_dir=prepared, output_dir=work / "patches",
          ckpt_dir=work / "patches", patch_size="[64,64,4]", fold=1)
    return work / "patches" / "backbone.pt"


@pytest.fixture(scope="module")
def model(prepared, backbone, work) -> Path:
    """Stage 2, two steps, started in the bundle's own folder."""
    monai("train", str(ROOT / "bundles/common/smoke.yaml"), cwd=ROOT / BUNDLE, root=".", dataset_dir=prepared,
          output_dir=work / "breasts", ckpt_dir=work / "breasts", backbone=backbone, fold=1)
    return work / "breasts" / "model.pt"


def test_prepared(prepared, cohort) -> None:
    listed = json.loads((prepared / "prepared.json").read_text())
    assert len(listed["breasts"]) == 24 and listed["parameters"]["matrix"] == [128, 128, 8]
    assert {np.load(path, mmap_mode="r").shape for path in prepared.glob("*_[LR].npy")} == {(6, 8, 64, 64)}
    assert (prepared / "config.yaml").is_file()
    again = monai("prepare", datalist=cohort / "list.json", output_dir=prepared, workers=1, **SMALL)
    assert "12 ready, 0 to do" in again


def test_stages_leave_weights_a_record_and_a_log(model, backbone) -> None:
    for path in (backbone, model):
        state = torch.load(path, weights_only=True)
        assert sum(tensor.numel() for tensor in state.values()) == 2_658_170
        assert {"config.yaml", "resume.pt"} <= {p.name for p in path.parent.iterdir()}
        assert list(path.parent.glob("events.out.tfevents.*"))
    assert not torch.equal(torch.load(backbone, weights_only=True)["backbone.0.weight"],
                           torch.load(model, weights_only=True)["backbone.0.weight"])
    record = yaml.safe_load((model.parent / "config.yaml").read_text())
    assert (record["fold"], record["max_epochs"], record["backbone"]) == (1, 1, str(backbone))


def test_evaluation_writes_a_row_a_breast(prepared, model, work) -> None:
    out = work / "evaluated"
    monai("train", "evaluate", dataset_dir=prepared, output_dir=out, weights=model, fold=1, workers=0, gallery=2)
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["exam_id", "patient_id", "side", "fold", "split", "label", "score", "group_density",
                             "reader_reader1"]
    wanted = {(b["exam_id"], b["side"], str(b["malignant"]), b["splits"][1])
              for b in json.loads((prepared / "prepared.json").read_text())["breasts"] if b["splits"][1] != "train"}
    assert {(r["exam_id"], r["side"], r["label"], r["split"]) for r in rows} == wanted and len(rows) == len(wanted)
    assert all(0 <= float(row["score"]) <= 1 and row["fold"] == "1" for row in rows)
    with (out / "localisation.csv").open() as file:
        peaks = list(csv.DictReader(file))
    assert peaks and all(0 < float(p["chance"]) < 0.5 and p["hit"] in "01" for p in peaks)
    maps = list((out / "maps").glob("*.npz"))
    assert len(maps) == 2
    with np.load(maps[0]) as picture:
        assert picture["image"].shape == picture["heat"].shape == (64, 64) and picture["image"].max() > 0


@pytest.mark.parametrize("place", ["repository", "bundle"])
def test_inference_answers_in_the_exams_own_space(cohort, model, tmp_path, place) -> None:
    where = {} if place == "repository" else {"cwd": ROOT / BUNDLE, "root": "."}
    exam = cohort / "exams" / "E0003"
    said = monai("inference", dataset_dir=exam, output_dir=tmp_path, weights=model, **SMALL, **where)
    assert str(tmp_path) in said  # says where the answer is
    result = json.loads((tmp_path / "E0003_result.json").read_text())
    assert result["probabilities"].keys() == {"L", "R"}
    assert all(0 <= p <= 1 for p in result["probabilities"].values())
    assert result["probability"] == max(result["probabilities"].values())
    heat, source = nib.load(tmp_path / "E0003_heatmap.nii.gz"), nib.load(exam / "pre.nii.gz")
    assert heat.shape == source.shape
    np.testing.assert_allclose(heat.affine, source.affine, atol=1e-5)
    values = heat.get_fdata()
    assert np.isfinite(values).all() and values.min() >= 0
    assert 0 < values.max() <= result["probability"] + 1e-4
    picture = matplotlib.image.imread(tmp_path / "E0003_preview.png")
    assert min(picture.shape[:2]) > 100 and picture[..., :3].std() > 0.05
    assert (picture[..., :3].max(-1) - picture[..., :3].min(-1)).max() > 0.2  # the heat map has colours
