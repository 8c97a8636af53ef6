"""The doubly deep bundle from exams to four answers, its configs run in this process."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from commands import ROOT
from monai.bundle import ConfigParser

from pipeline.breast_mri.slice_stacks import WHOLE_EXAMS
from pipeline.errors import one_line
from pipeline.prepare import run as prepare
from pipeline.study.generators import combined_variants, trained_variants
from transforms import LoadSliceStackd

BUNDLE = ROOT / "bundles" / "breast_mri_doubly_deep"


def started(*configs: str, **settings: Any) -> ConfigParser:
    """Configs of the bundle as `monai.bundle run` merges them, initialised."""
    files = [str(BUNDLE / "configs" / f"{name}.yaml") for name in configs]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    for name, value in {"bundle_root": str(BUNDLE), "device": "$torch.device('cpu')", **settings}.items():
        parser[name] = str(value) if isinstance(value, Path) else value
    parser.parse()
    parser.get_parsed_content("initialize")
    return parser


def trained(folder: Path, dataset: Path, **settings: Any) -> dict[str, Any]:
    """Train on fold 0; returns the state to resume from."""
    parser = started("train", "demo_train", dataset_dir=dataset, output_dir=folder, ckpt_dir=folder, quiet=True,
                     **settings)
    parser.get_parsed_content("train#trainer").run()
    return torch.load(folder / "resume.pt", weights_only=True)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def work(_written_phantom, tmp_path_factory) -> Path:
    """Prepared phantoms and a model of two epochs."""
    folder = tmp_path_factory.mktemp("doubly")
    prepare.run(_written_phantom / "list.json", folder / "prepared", WHOLE_EXAMS, LoadSliceStackd("image"), 1)
    trained(folder / "run", folder / "prepared", max_epochs=2)
    return folder


def test_arrays_are_the_exams_own_voxels(work, _written_phantom) -> None:
    listed = json.loads((work / "prepared" / "prepared.json").read_text())
    assert len(listed["exams"]) == 12
    case = listed["exams"][3]
    array = np.load(work / "prepared" / case["image"])
    assert array.shape == (4, 10, 64, 64) and array.dtype == np.float16
    post2 = nib.load(_written_phantom / "exams" / case["exam_id"] / "post2.nii.gz").get_fdata()
    pre = nib.load(_written_phantom / "exams" / case["exam_id"] / "pre.nii.gz").get_fdata()
    assert nib.aff2axcodes(nib.load(_written_phantom / "exams" / case["exam_id"] / "pre.nii.gz").affine) == tuple("LPS")
    bright = pre > 50
    ratio = array[2].transpose(2, 1, 0)[::-1, ::-1].astype(float)[bright] / array[0].transpose(2, 1, 0)[
        ::-1, ::-1].astype(float)[bright]
    np.testing.assert_allclose(ratio, post2[bright] / pre[bright], rtol=2e-3)


def test_evaluation_and_inference_give_the_same_answers(work, _written_phantom, tmp_path) -> None:
    evaluated = started("train", "evaluate", "demo_evaluate", dataset_dir=work / "prepared", output_dir=tmp_path,
                        model=work / "run" / "model.pt", gallery=1)
    evaluated.get_parsed_content("validate#evaluator").run()
    found = rows(tmp_path / "predictions.csv")
    listed = {case["exam_id"]: case for case in
              json.loads((work / "prepared" / "prepared.json").read_text())["exams"] if case["splits"][0] != "train"}
    assert {(r["exam_id"], r["side"], r["task"], int(r["label"])) for r in found} == {
        (name, side, task, label) for name, case in listed.items() for side, labels in case["breasts"].items()
        for task, label in labels.items()}
    assert len(list((tmp_path / "maps").iterdir())) == 1
    exam = next(name for name, case in listed.items() if case["splits"][0] == "test")
    answered = started("inference", "demo_inference", dataset_dir=_written_phantom / "exams" / exam,
                       output_dir=tmp_path / "answers", model=work / "run" / "model.pt")
    answered.get_parsed_content("load")
    answered.get_parsed_content("evaluator").run()
    told = json.loads((tmp_path / "answers" / f"{exam}_result.json").read_text())["probabilities"]
    for row in found:
        if row["exam_id"] == exam:
            assert told[row["side"]][row["task"]] == pytest.approx(float(row["score"]), abs=2e-3)  # 16-bit arrays
    heat = nib.load(tmp_path / "answers" / f"{exam}_right_malignant.nii.gz")
    source = nib.load(_written_phantom / "exams" / exam / "pre.nii.gz")
    assert heat.shape == source.shape and np.allclose(heat.affine, source.affine, atol=1e-5)


def test_a_resumed_run_equals_the_uninterrupted_one(tiny_exams, tmp_path) -> None:
    settings = {"cases_per_epoch": 3, "lr": 1.0e-3}
    whole = trained(tmp_path / "whole", tiny_exams, max_epochs=3, **settings)
    trained(tmp_path / "parts", tiny_exams, max_epochs=1, **settings)
    parts = trained(tmp_path / "parts", tiny_exams, max_epochs=3, **settings)
    assert whole["iteration"] == parts["iteration"] == 9 and whole["best_metric"] == parts["best_metric"]
    assert all(torch.equal(whole["network"][name], parts["network"][name]) for name in whole["network"])


@pytest.mark.parametrize("input", ["t0", "t3", "t1-t0"])
def test_every_input_reads_its_phases_alone(tiny_exams, input) -> None:
    parser = started("train", "demo_train", dataset_dir=tiny_exams, input=input, output_dir=None)
    data = parser.get_parsed_content("validate#dataset")
    stored = np.load(data.data[0]["array"]).astype(np.float32)
    first = stored[{"t0": 0, "t3": 3, "t1-t0": 1}[input]] - (stored[0] if input == "t1-t0" else 0)
    np.testing.assert_array_equal(data[0]["image"][0].numpy(), first.transpose(2, 1, 0))


@pytest.mark.parametrize(("given", "message"), [({"input": "t4"}, "input 't4': choose one of t0"),
                                                ({"share": 0}, "share 0: give a part"),
                                                ({"trunk": [8, 16]}, "a width and a number of blocks a stage")])
def test_what_is_wrong_is_named_in_one_line(tiny_exams, given, message) -> None:
    parser = started("train", dataset_dir=tiny_exams, output_dir=None, **given)
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("train#dataset#data")
        parser.get_parsed_content("network_def")
    assert message in str(one_line(caught.value))


def test_the_study_is_the_paper_s_table_curve_and_ensembles() -> None:
    """Table 1, the seven sizes of §4.1, of which all exams is a row of the table, and §4.3."""
    plan = yaml.safe_load((BUNDLE / "configs" / "study.yaml").read_text())
    plan["variants"] = trained_variants(plan)
    inputs = ["t0", "t1", "t2", "t3", "t1-t0", "t2-t0", "t3-t0"]
    table = {name: plan["variants"][name]["paper"] for name in inputs}
    assert [table[name]["malignant"]["auroc"][0] for name in inputs] == [
        0.6714, 0.6999, 0.7620, 0.7809, 0.8135, 0.8486, 0.8418]
    assert [table[name]["benign"]["auroc"][0] for name in inputs] == [
        0.6304, 0.6055, 0.6766, 0.7038, 0.7011, 0.7267, 0.7227]
    sizes = {entry["each"]["share"] for entry in plan["variants"].values() if "share" in entry["each"]}
    assert sizes == {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 0.3}  # 0.3 is the demo's
    assert plan["variants"]["t2-t0"]["each"] == {"input": "t2-t0", "share": 1.0}
    paper, demo = (combined_variants(plan, preset) for preset in ("paper", "demo"))
    assert sorted(paper["selection"]["of"]) == sorted(inputs) and len(demo["selection"]["of"]) == 4
    assert paper["mean"]["of"] == ["t1-t0", "t2-t0", "t3-t0"]
