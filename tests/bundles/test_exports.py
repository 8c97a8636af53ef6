"""An export of each bundle, trained for one epoch, moved, in an empty folder: every host gives the same answer."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import warnings
from pathlib import Path

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.scripts import ckpt_export, verify_metadata, verify_net_in_out
from monai_label import infer
from monai_label import train as post_train
from tiny_exports import METRICS, labelled
from zoo_rules import check_zoo_rules

from pipeline.__main__ import main

pytestmark = pytest.mark.slow


def test_every_host_gives_the_same_answer(exported, exam, tmp_path, monkeypatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    config = str(exported / "configs" / "inference.json")
    monai.bundle.run(config_file=config, bundle_root=str(exported), dataset_dir=str(exam), output_dir="../run")
    assert main(["predict", str(exported), str(exam), "-o", str(tmp_path / "predicted")]) == 0
    served = infer(exported, exam)
    answers = []
    for folder in (tmp_path / "run", tmp_path / "predicted"):
        result = json.loads((folder / "p1_result.json").read_text())
        answers.append((result, nib.load(folder / "p1_heatmap.nii.gz")))
        assert (folder / "p1_preview.png").stat().st_size > 1000
    answers.append((served["result"], nib.Nifti1Image(served["pred"][0].numpy(), served["pred"].affine.numpy())))
    (first, heat), *others = answers
    for result, other in others:
        assert result["probability"] == pytest.approx(first["probability"], abs=1e-6)
        np.testing.assert_allclose(other.get_fdata(), heat.get_fdata(), atol=1e-6)
        np.testing.assert_allclose(other.affine, heat.affine, atol=1e-4)
    assert 0 < heat.get_fdata().max() <= first["probability"] + 1 / 255
    assert first["decision"] == {"threshold": 0.625, "positive": first["probability"] >= 0.625}
    if exam.suffix != ".png":  # on the grid of the image that is shown
        shown = nib.load(exam) if exam.name.endswith(".nii.gz") else None
        assert shown is None or (shown.shape == heat.shape and np.allclose(shown.affine, heat.affine, atol=1e-4))
    levels = infer(exported, exam, result_dtype="uint8", result_extension=".nrrd")
    assert levels["pred"].dtype == torch.uint8 and levels["result_extension"] == ".nrrd"
    wanted = np.digitize(heat.get_fdata(), [0.5, 0.75, 0.9])
    assert (levels["pred"][0].numpy() == wanted).mean() > 0.999
    network = monai.bundle.load(exported.name, bundle_dir=str(exported.parent), workflow_type="inference",
                                source="github", repo="none/none/none")
    state = torch.load(exported / "models" / "model.pt")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert not any(empty.iterdir())


def test_dicom_out_is_for_dicom_in(exported, exam, tmp_path, capsys, request) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(exported), str(exam), "-o", str(out), "--dicom"]) == 2
    assert "leave out --dicom" in capsys.readouterr().err and not out.exists()
    if exported.name != "breast_mri_curriculum":
        return
    hd = pytest.importorskip("highdicom", reason="the extra `dicom` is not installed")
    cohort = request.getfixturevalue("phantom_cohort")
    study = {"StudyInstanceUID": "1.2.3", "FrameOfReferenceUID": "1.2.4", "PatientName": "SECRET"}
    for i, contrast in enumerate(("pre", "post1", "post2", "post3", "post4", "t2")):
        image = nib.load(cohort.path(0, contrast))
        tags = {"EchoTime": 90.0 if contrast == "t2" else 2.0, "SeriesNumber": i, "AcquisitionTime": f"10{i:02d}00"}
        voxels = np.asanyarray(image.dataobj).astype(np.int16)
        request.getfixturevalue("make_series")(tmp_path / "p7" / str(i), voxels, image.affine, **study, **tags)
    assert main(["predict", str(exported), str(tmp_path / "p7"), "-o", str(out), "--dicom"]) == 0
    heat = nib.load(out / "p7_heatmap.nii.gz").get_fdata()
    assert np.allclose(np.sort(hd.imread(out / "p7_map.dcm").get_volume().array, axis=None), np.sort(heat, axis=None))
    report = hd.sr.srread(out / "p7_report.dcm")
    exam_group, = report.content.get_image_measurement_groups() or report.content.get_planar_roi_measurement_groups()
    told = json.loads((out / "p7_result.json").read_text())
    assert exam_group.get_measurements()[0].value == pytest.approx(100 * told["probability"], abs=1e-3)
    assert "SECRET" not in "".join(capsys.readouterr()) and report.StudyInstanceUID == "1.2.3"


def test_what_is_in_it(exported, tiny, work, tmp_path) -> None:
    _, told = tiny[exported.name]
    configs = {path.stem: path.read_text() for path in (exported / "configs").glob("*.json")}
    assert configs.keys() == {"inference", "train", "evaluate", "prepare", "metadata"}
    assert all(text == json.dumps(json.loads(text), indent=4) + "\n" for text in configs.values())
    inference, meta = json.loads(configs["inference"]), json.loads(configs["metadata"])
    trained = {name: value for _, settings in told.stages.values() for name, value in settings.items()}
    for name, value in {**told.prepared, **trained}.items():
        assert name not in inference or inference[name] == value or name in trained, name
        assert name not in inference or name not in trained or inference[name] == trained[name], name
    assert inference.get("map", "evidence") == "evidence"  # that the variant was evaluated without maps is no matter
    assert meta["eval_metrics"] == METRICS and "wheels/breast_bundles-" in meta["description"]
    text = (exported / "docs" / "README.md").read_text()
    for part in ("| auroc | 0.810 |", "fold 0", "pip install wheels/", "# License", "References"):
        assert part in text
    assert str(work) not in "".join(configs.values()) + text + (exported / "export.json").read_text()
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=exported, check=True)
    listed = {line.partition("  ")[2] for line in (exported / "SHA256SUMS").read_text().splitlines()}
    assert listed == {str(p.relative_to(exported)) for p in exported.rglob("*") if p.is_file()} - {"SHA256SUMS"}
    sums = set()
    for name in ("a.zip", "b.zip"):
        assert main(["export", f"bundles/{exported.name}", "--run", str(work / exported.name), "--fold", "0",
                     "--variant", told.variant, "-o", str(tmp_path / name)]) == 0
        sums.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(sums) == 1


def test_monais_own_checks_hold(exported, exam, tmp_path) -> None:
    config, meta = (str(exported / "configs" / f"{name}.json") for name in ("inference", "metadata"))
    verify_metadata(meta, filepath=Path(__file__).parent / "schema_20240725.json")
    verify_net_in_out("network_def", meta, config, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ckpt_export("network_def", filepath=str(tmp_path / "model.ts"), ckpt_file=str(exported / "models/model.pt"),
                    meta_file=meta, config_file=config, bundle_root=str(exported))
    workflow = ConfigWorkflow(config, workflow_type="infer", logging_file=False, bundle_root=str(exported),
                              dataset_dir=str(exam), output_dir=str(tmp_path / "out"))
    workflow.initialize()
    assert workflow.check_properties() == []
    parser = ConfigParser(ConfigParser.load_config_file(config))
    shape = json.loads(Path(meta).read_text())["network_data_format"]["inputs"]["image"]["spatial_shape"]
    assert parser.get_parsed_content("input_shape") == shape


def test_the_zoo_s_rules_hold(exported, tiny, exam, tmp_path) -> None:
    dataset, told = tiny[exported.name]
    given = {key: value for stage in told.stages.values() for key, value in stage[1].items()}
    check_zoo_rules(exported, dataset, exam, tmp_path, **{"weights": None, "backbone": None, **given})
    verify_net_in_out("network_def", str(exported / "configs/metadata.json"), str(exported / "configs/inference.json"),
                      device="cpu", bundle_root=str(exported))


def test_large_files_are_listed_with_their_addresses(exported, tiny, work, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.serve.card.LARGE", 1 << 10)
    assert main(["export", f"bundles/{exported.name}", "--run", str(work / exported.name), "--fold", "0", "--variant",
                 tiny[exported.name][1].variant, "-o", str(tmp_path), "--url", "https://files.example.org/v1"]) == 0
    folder = tmp_path / exported.name
    listed = ConfigParser.load_config_file(folder / "large_files.yml")["large_files"]  # as the zoo reads it
    assert {each["path"] for each in listed} >= {"models/model.pt"}
    for each in listed:
        assert hashlib.sha256((folder / each["path"]).read_bytes()).hexdigest() == each["hash_val"]
        assert (each["hash_type"], each["url"]) == ("sha256", f"https://files.example.org/v1/{each['path']}")


LABELLED = {"breast_mri_curriculum", "breast_ultrasound_center_point"}


def test_monai_label_trains_where_it_is_offered(exported, request, tmp_path, tmp_path_factory, monkeypatch) -> None:
    """`POST /train` on raw exams with class labels or points; the model that is served is another one afterwards."""
    content = json.loads((exported / "configs/train.json").read_text())
    offered = "LabelledDataset" in content["train"]["dataset"]["_target_"]
    assert offered == (exported.name in LABELLED)
    if not offered:
        return
    served = Path(shutil.copytree(exported, tmp_path / exported.name))
    cohort = request.getfixturevalue("ultrasound_cohort" if "ultrasound" in exported.name else "phantom_cohort")
    items = labelled(cohort.load(), tmp_path / "studies")
    before = torch.load(served / "models/model.pt")
    empty = tmp_path_factory.mktemp("empty")  # stays: joblib's processes are used again, and stand in it
    monkeypatch.chdir(empty)
    post_train(served, items[:-2], items[-2:])
    after = torch.load(served / "models/model.pt")
    assert before.keys() == after.keys() and any(not torch.equal(before[name], after[name]) for name in before)
    assert 0 <= infer(served, items[0]["image"])["result"]["probability"] <= 1
    assert not any(empty.iterdir())
