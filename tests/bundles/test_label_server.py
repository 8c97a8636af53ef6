"""An export of each bundle in MONAI Label's own server: what viewers ask of it, and what it must not say.

`LABEL_PYTHON` names the interpreter of the server's environment; `make label-demo` makes one, which `make e2e` takes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai_label import infer as infer_here
from tiny_exports import labelled

from pipeline.serve.label import call, infer, server, train, upload
from pipeline.serve.label_app import trains_on_raw_exams

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture
def python() -> Path:
    found = os.environ.get("LABEL_PYTHON")
    if not found:
        pytest.skip("LABEL_PYTHON names no environment with MONAI Label")
    return Path(found)


def test_the_server_accepts_the_bundle(python, exported, exam, tmp_path) -> None:
    known = infer_here(exported, exam)["result"]["probability"]
    log = tmp_path / "server.log"
    with server(python, [exported], exam.parent, log) as address:
        info = json.loads(call(f"{address}/info/")[1])
        model = info["models"][exported.name]
        assert model["type"] == "segmentation" and set(model["labels"]) == {"cam_50", "cam_75", "cam_90"}
        assert set(info["trainers"]) == ({exported.name} if trains_on_raw_exams(exported) else set())
        assert exam.name.split(".")[0] in json.loads(call(f"{address}/datastore/?output=all")[1])["objects"]
        for _ in range(2):  # the second comes from the server's cache
            status, body = infer(address, exported.name, "p1")
            assert status == 200 and json.loads(body)["probability"] == pytest.approx(known, abs=1e-5)
        status, body = infer(address, exported.name, "p1", "all")
        assert status == 200 and b'name="params"' in body and b'name="image"' in body and b"probability" in body
        status, body = infer(address, exported.name, "p1", "image", heatmap_output="float")
        assert status == 200
        (tmp_path / "map.nii.gz").write_bytes(body)
        heat = nib.load(tmp_path / "map.nii.gz")
        assert np.isfinite(heat.get_fdata()).all() and 0 < heat.get_fdata().max() <= 1
        if exam.name.endswith(".nii.gz"):
            shown = nib.load(exam)
            assert heat.shape == shown.shape and np.allclose(heat.affine, shown.affine, atol=1e-3)
        status, body = infer(address, exported.name, "p1", "image", result_extension=".nrrd", result_dtype="uint8")
        assert status == 200 and body.startswith(b"NRRD")
        # An upload of a session: the exam's files in one folder, or the one image; where lesions are is asked anew.
        beside = exam.with_suffix("").with_suffix(".exam") if exam.name.endswith(".gz") else exam.with_suffix(".exam")
        files = sorted(beside.iterdir()) if beside.is_dir() else [exam]
        status, body = upload(f"{address}/session/", "PUT", "files", files)
        session = json.loads(body)["session_id"]
        table = exam.parent / "p1.lesions.csv"
        places = [list(map(float, line.split(","))) for line in table.read_text().splitlines()[1:]] if (
            table.is_file()) else []
        status, body = call(f"{address}/infer/{exported.name}?session_id={session}&output=json", params=json.dumps(
            {"lesions": places} if places else {}))
        assert status == 200 and json.loads(body)["probability"] == pytest.approx(known, abs=1e-5)
        status, body = infer(address, exported.name, "none")
        assert status >= 400
    told = log.read_text()
    assert "Checkpoint keys don't match" not in told


def test_it_trains_on_labels_that_readers_stored(python, exported, request, tmp_path) -> None:
    """Class labels of exams through the datastore, `POST /train`, and another answer than before."""
    if not trains_on_raw_exams(exported):
        pytest.skip("is not offered for training")
    cohort = request.getfixturevalue("ultrasound_cohort" if "ultrasound" in exported.name else "phantom_cohort")
    items = labelled(cohort.load(), tmp_path / "studies")
    names = [Path(item["label"]).stem for item in items]
    with server(python, [exported], tmp_path / "studies", tmp_path / "server.log") as address:
        before = json.loads(infer(address, exported.name, names[0])[1])["probability"]
        for name, item in zip(names, items, strict=True):
            place = f"{address}/datastore/label?image={name}&tag=final"
            assert upload(place, "PUT", "label", [Path(item["label"])])[0] == 200
        ended = train(address, exported.name, max_epochs=1, val_split=0.34, device="cpu", multi_gpu=False,
                      pretrained=True, tracking="None")
        assert ended["status"] == "DONE", ended["details"]
        after = json.loads(infer(address, exported.name, names[0])[1])["probability"]
        assert 0 <= after <= 1 and after != before
