"""The transfer bundle from exams to lesions' probabilities, by the commands that a user types."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from functools import partial
from pathlib import Path

import commands
import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from commands import ROOT, ok, run

from pipeline.study.generators import subset_variants

BUNDLE = "bundles/breast_mri_transfer"
monai = partial(commands.monai, BUNDLE)
SMALL = {"patch_size": 12, "shrink_factor": "[1,1,1]", "iterations": "[3]"}


@pytest.fixture(scope="module")
def work(_written_phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    shutil.copytree(_written_phantom, folder / "cohort")
    return folder


@pytest.fixture(scope="module")
def prepared(work) -> Path:
    text = ok(monai("prepare", datalist=work / "cohort" / "list.json", output_dir=work / "prepared", workers=1,
                    **SMALL))
    assert "patches that hold several lesions are left out" in text
    return work / "prepared"


@pytest.fixture(scope="module")
def model(prepared, work) -> Path:
    ok(monai("train", dataset_dir=prepared, output_dir=work / "run", ckpt_dir=work / "run", image_size=32,
             channels="[pre,post4,sub]", max_epochs=2, cases_per_epoch=8, batch_size=4, workers=0, fold=1,
             lr_step=1, weights="$None"))
    return work / "run" / "model.pt"


@pytest.mark.slow
def test_prepared_slices_follow_the_masks(prepared, work) -> None:
    listed = json.loads((prepared / "prepared.json").read_text())
    assert listed["parameters"]["channels"] == ["pre", "post1", "post2", "post3", "post4", "sub", "t2"]
    for case in listed["lesions"]:
        mask = nib.load(work / "cohort" / "exams" / case["exam_id"] / "lesions_mask.nii.gz").get_fdata()
        covered = int((mask == int(case["lesion_id"])).any(axis=(0, 1)).sum())
        assert np.load(prepared / case["image"], mmap_mode="r").shape == (case["slices"], 7, 12, 12)
        assert 1 <= case["slices"] <= covered
    again = ok(monai("prepare", datalist=work / "cohort" / "list.json", output_dir=prepared, workers=1, **SMALL))
    assert "12 ready, 0 to do" in again


@pytest.mark.slow
def test_evaluation_writes_a_row_a_lesion(prepared, model, work) -> None:
    ok(monai("train", "evaluate", dataset_dir=prepared, output_dir=work / "evaluated", model=model, fold=1, workers=0,
             image_size=32, channels="[pre,post4,sub]"))
    with (work / "evaluated" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    wanted = {(c["exam_id"], c["lesion_id"]): c for c in json.loads((prepared / "prepared.json").read_text())["lesions"]
              if c["splits"][1] != "train"}
    assert {(r["exam_id"], r["lesion_id"]) for r in rows} == set(wanted) and len(rows) == len(wanted)
    with (work / "evaluated" / "curves.csv").open() as file:
        curves = list(csv.DictReader(file))
    tested = {key for key, lesion in wanted.items() if lesion["splits"][1] == "test"}
    assert {(c["exam_id"], c["lesion_id"]) for c in curves} == tested
    with np.load(work / "evaluated" / "contrasts.npz") as shown:
        assert list(shown["names"])[5] == "sub" and shown["patch"].shape == (7, 12, 12)
    for row in rows:
        case = wanted[row["exam_id"], row["lesion_id"]]
        assert int(row["slices"]) == case["slices"] and int(row["label"]) == case["malignant"]
        assert 0 <= float(row["score"]) <= 1


@pytest.mark.slow
def test_inference_scores_the_lesions_of_an_exam(model, work, tmp_path) -> None:
    exam = work / "cohort" / "exams" / "E0003"
    text = ok(monai("inference", dataset_dir=exam, lesions=work / "cohort" / "lesions.csv", output_dir=tmp_path,
                    model=model, image_size=32, channels="[pre,post4,sub]", **SMALL))
    assert str(tmp_path) in text
    result = json.loads((tmp_path / "E0003_result.json").read_text())
    with (work / "cohort" / "lesions.csv").open() as file:
        marked = {row["lesion_id"] for row in csv.DictReader(file) if row["exam_id"] == "E0003"}
    assert result["lesions"].keys() | set(result["not_scored"]) == marked
    for lesion in result["lesions"].values():
        assert lesion["probability"] == max(lesion["slices"].values())
    assert result["probability"] == max(lesion["probability"] for lesion in result["lesions"].values())
    heat, source = nib.load(tmp_path / "E0003_heatmap.nii.gz"), nib.load(exam / "pre.nii.gz")
    assert heat.shape == source.shape and 0 <= heat.get_fdata().max() <= result["probability"] + 1e-4
    np.testing.assert_allclose(heat.affine, source.affine, atol=1e-5)
    assert matplotlib.image.imread(tmp_path / "E0003_preview.png")[..., :3].std() > 0.05


@pytest.mark.slow
def test_what_is_wrong_is_named_in_one_line(prepared, model, work, tmp_path, reseal) -> None:
    exam, table = work / "cohort" / "exams" / "E0003", tmp_path / "lesions.csv"
    table.write_text("x_mm,y_mm\n1,2\n")
    same = {"output_dir": tmp_path / "out", "model": model, "image_size": 32, **SMALL}
    lacking = json.loads((prepared / "prepared.json").read_text())
    lacking["lesions"][0]["missing"] = ["t2"]
    (tmp_path / "lacking").mkdir()
    reseal(tmp_path / "lacking", lacking)
    first = lacking["lesions"][0]
    train = {"dataset_dir": tmp_path / "lacking", "output_dir": tmp_path / "out",
             "fold": (first["splits"].index("test") + 1) % 3,
             "ckpt_dir": tmp_path / "out", "weights": "$None", "workers": 0}
    for ended, message in [
        (monai("inference", dataset_dir=exam, lesions=table, **same), "column `z_mm` is missing"),
        (monai("inference", dataset_dir=exam, lesions=tmp_path / "no.csv", **same), "no.csv: cannot be read (No such"),
        (monai("inference", dataset_dir=exam, lesions=work / "cohort" / "lesions.csv",
               channels="[pre,post4]", **same), "checkpoint of another network: conv1.weight is (64, 3, 7, 7)"),
        (monai("train", channels="[pre,post4,t2]", **train), f"exam {first['exam_id']} has no t2"),
        (monai("train", channels="[pre,flair]", **train), "no contrast 'flair'"),
        (run("pipeline", "study", BUNDLE, "--datalist", str(work / "cohort" / "list.json"), "--out",
             str(tmp_path / "study"), "--subsets", "pre+flair+t2"), "pre+flair+t2: not in study.yaml"),
    ]:
        assert ended.returncode != 0
        assert message in ended.stderr and "Traceback" not in ended.stderr, ended.stderr[-1500:]
    assert not (tmp_path / "out" / "model.pt").exists()


def test_the_study_has_all_subsets_and_prints_their_commands(tiny_cohort, tmp_path) -> None:
    import yaml

    plan = yaml.safe_load((ROOT / BUNDLE / "configs" / "study.yaml").read_text())["subsets"]
    variants = subset_variants(plan)
    assert len(variants) == 35 and set(plan["paper"]) < set(variants)
    ended = run("pipeline", "study", BUNDLE, "--datalist", str(tiny_cohort.list), "--out", str(tmp_path), "--preset",
                "demo", "--folds", "2", "--subsets", "pre+post3+sub,pre+sub+t2", "--print")
    lines = [shlex.split(line) for line in ok(ended).splitlines()]
    assert len(lines) == 1 + 2 * 2 * 2  # prepare; two subsets, two folds, training and evaluation
    assert "[pre,post3,sub]" in lines[1] and str(tmp_path / "pre+post3+sub" / "fold0" / "train") in lines[1]
