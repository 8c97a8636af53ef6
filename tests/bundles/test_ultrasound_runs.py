"""The ultrasound bundle from volumes to a report and to one volume's answer, by the commands that a user types."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from commands import ok, run

from pipeline.datalist import save

BUNDLE = "bundles/breast_ultrasound_center_point"
SMALL = """\
shape: [8, 32, 32]
widths: [4, 4, 4, 4]
max_epochs: 2
cases_per_epoch: 8
batch_size: 4
val_interval: 1
"""


@pytest.fixture(scope="module")
def study(ultrasound_cohort, tmp_path_factory) -> Path:
    """One fold of the cross-validation and the held-out test (fold 3), with a network too small to learn."""
    folder = tmp_path_factory.mktemp("ultrasound")
    (folder / "small.yaml").write_text(SMALL)
    ok(run("pipeline", "study", BUNDLE, "--datalist", ultrasound_cohort.list, "--out", folder / "run", "--preset",
           "demo", "--folds", "0,3", "--overlay", folder / "small.yaml"))
    return folder / "run"


@pytest.mark.slow
def test_a_study_ends_in_a_report(study) -> None:
    text = ok(run("pipeline", "report", study, "--replicates", 200))
    assert "Whole crop" in text and "Its central part" in text
    metrics = json.loads((study / "metrics.json").read_text())
    assert metrics["folds"] == [0] and set(metrics["final"]) == {"full", "center", "random"}
    listed = json.loads((study / "prepared" / "prepared.json").read_text())["crops"]
    held_out = [case for case in listed if case["splits"][3] == "test"]
    assert metrics["final"]["full"]["n"] == len(held_out)
    assert metrics["final"]["full"]["malignant"] == sum(case["lesion"] for case in held_out)
    assert all(case["splits"][0] == "held_out" for case in held_out), "they play no part in the cross-validation"
    assert {row["radius_mm"] for row in metrics["points"]["pointing"]} >= {5.0, 10.0}
    page = (study / "report.html").read_text()
    for part in ("Held-out test set", "Do the maps point to the lesions?", "Crops and training", "with a lesion"):
        assert part in page


@pytest.mark.slow
def test_what_an_evaluation_leaves(study) -> None:
    rows = list(csv.DictReader((study / "center_point/fold3/predictions.csv").open()))
    assert {row["variant"] for row in rows} == {"full", "center", "random"}
    assert {row["split"] for row in rows} == {"test"}
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    volumes = json.loads((study / "center_point/fold3/volumes.json").read_text())
    assert len({v["exam_id"] for v in volumes}) == len(volumes) > 1
    assert any(v["centers"] and v["boxes"] for v in volumes) and any(v["healthy"] for v in volumes)
    history = list(csv.DictReader((study / "center_point/fold3/train/history.csv").open()))
    assert [row["epoch"] for row in history] == ["1", "2"] and "val_accuracy" in history[0]
    assert not (study / "center_point/fold0/volumes.json").exists(), "whole volumes are mapped in the last fold alone"


@pytest.mark.slow
def test_one_volume_as_a_user_has_it(study, ultrasound_cohort, tmp_path) -> None:
    exam = next(e for e in ultrasound_cohort.load().exams if e.lesions)
    volume = ultrasound_cohort.load().path(exam, "image")
    (tmp_path / "inference.yaml").write_text(SMALL + "step: [8, 16, 16]\n")
    ended = run("monai.bundle", "run", "--bundle_root", BUNDLE, "--config_file",
                str([f"{BUNDLE}/configs/inference.yaml", str(tmp_path / "inference.yaml")]), "--dataset_dir",
                volume.parent, "--centers", ultrasound_cohort.folder / "lesions.csv", "--output_dir", tmp_path / "out",
                "--model", study / "center_point/fold3/train/model.pt")
    assert f"{exam.exam_id}: probability of a lesion" in ok(ended) or "image: probability" in ended.stdout
    name = next((tmp_path / "out").glob("*_result.json")).name.removesuffix("_result.json")
    result = json.loads((tmp_path / "out" / f"{name}_result.json").read_text())
    heat = nib.load(tmp_path / "out" / f"{name}_heatmap.nii.gz")
    source = np.array([1.8, 0.7, 3.4])
    assert heat.shape == (64, 64, 32) and np.allclose(np.linalg.norm(heat.affine[:3, :3], axis=0), source, atol=1e-3)
    assert heat.get_fdata().max() <= result["probability"] + 0.01
    first = result["candidates"][0]
    voxel = np.linalg.solve(heat.affine, [*first["center_mm"], 1])[:3]
    assert heat.get_fdata()[tuple(np.rint(voxel).astype(int))] == pytest.approx(heat.get_fdata().max(), abs=0.05)
    rows = list(csv.DictReader((tmp_path / "out" / f"{name}_candidates.csv").open()))
    assert [float(rows[0][c]) for c in ("coordZ", "coordY", "coordX")] == pytest.approx(list(voxel), abs=0.02)
    assert matplotlib.image.imread(tmp_path / "out" / f"{name}_preview.png").shape[2] in (3, 4)


@pytest.mark.slow
def test_another_cohort_is_scored_by_the_networks_of_the_folds(study, ultrasound_cohort, tmp_path) -> None:
    """The study's volumes with a comment in their headers: other files of the same voxels get the same scores."""
    source = ultrasound_cohort.load()
    source.exams = [exam for exam in source.exams if exam.fold == 0 or exam.healthy()][:8]
    (tmp_path / "outside.json").symlink_to(ultrasound_cohort.list)
    assert "has an image of the study's own exam" in run("pipeline", "study", study, "--apply",
                                                         tmp_path / "outside.json").stderr
    (tmp_path / "outside.json").unlink()
    for exam in source.exams:
        raw = source.path(exam, "image").read_bytes()
        exam.images = {"image": f"{exam.exam_id}.nrrd"}
        (tmp_path / exam.images["image"]).write_bytes(raw.replace(b"\n", b"\n# the same voxels\n", 1))
    source.root = tmp_path
    save(source, tmp_path / "outside.json")
    ok(run("pipeline", "study", study, "--apply", tmp_path / "outside.json"))
    assert "on outside: Whole crop: AUROC" in ok(run("pipeline", "report", study, "--replicates", 100))
    lesions = {}
    for place in (study, study / "applied" / "outside"):
        for row in csv.DictReader((place / "center_point/fold0/predictions.csv").open()):
            if row["split"] == "test" and row["image_id"].startswith("lesion") and row["variant"] != "random":
                lesions.setdefault((row["exam_id"], row["image_id"], row["variant"]), []).append(float(row["score"]))
    both = [pair for pair in lesions.values() if len(pair) == 2]
    assert len(both) >= 2 and all(first == pytest.approx(second, abs=1e-6) for first, second in both)
    found = json.loads((study / "metrics.json").read_text())["cohorts"]["outside"]["variants"]["full"]
    assert set(found["folds"]) == {"0"} and found["final"] is not None
    assert "done before" in ok(run("pipeline", "study", study, "--apply", tmp_path / "outside.json"))
