"""Patients stay where they belong: not in logs, nor in what is written beside the tables."""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from pipeline.__main__ import main
from pipeline.breast_mri.answer_exams import SaveResultd
from pipeline.breast_mri.breasts import BREASTS
from pipeline.errors import InputError
from pipeline.networks.checkpoint import load_weights
from pipeline.prepare import run as prepare
from pipeline.training.run_state import RunState
from transforms import LoadBreastsd, MalignancyResultd

SETTINGS = {"channels": ["pre", "post1", "t2"], "matrix": [64, 64, 8], "rows": 32}


@pytest.fixture
def secret(phantom_cohort):
    """A cohort whose patients and folder have names that must not be seen."""
    folder = phantom_cohort.folder.rename(phantom_cohort.folder.with_name("SECRET_hospital"))
    cohort = type(phantom_cohort)(folder, folder / "list.json")
    datalist = cohort.load()
    datalist.exams = datalist.exams[:3]
    for i, exam in enumerate(datalist.exams):
        exam.patient_id, exam.fold, exam.validation_folds = f"SECRET{i}", i, [(i + 1) % 3]
    cohort.save(datalist)
    return cohort


@pytest.mark.parametrize("damaged", [False, True])
def test_preparing_names_no_patient(secret, tmp_path, capfd, damaged) -> None:
    if damaged:
        path = secret.path(1, "post1")
        path.write_bytes(path.read_bytes()[:-500])
    message = ""
    try:
        prepare.run(secret.list, tmp_path / "out", BREASTS, LoadBreastsd("image", **SETTINGS), workers=1)
    except InputError as error:
        message = str(error)
    assert bool(message) == damaged
    out, err = capfd.readouterr()
    assert "SECRET" not in out + err + message
    for record in (tmp_path / "out" / "records").glob("*.json"):
        assert "SECRET" not in record.read_text()


@pytest.mark.parametrize("fault", ["none", "truncated", "missing"])
def test_verifying_names_no_patient(secret, capfd, fault) -> None:
    path = secret.path(0, "t2")
    if fault != "none":
        path.write_bytes(path.read_bytes()[:-500])
    if fault == "missing":
        path.unlink()
    assert main(["verify", str(secret.list), "--json", str(secret.folder / "verify.json")]) == int(fault != "none")
    out, err = capfd.readouterr()
    seen = (out + err).replace(str(secret.list), "")  # what was typed may be shown
    assert not re.search(r"SECRET\d", seen)
    assert not re.search(r"SECRET\d", (secret.folder / "verify.json").read_text())


def answer(exam: Path, out: Path) -> None:
    """What inference writes for one exam, with maps that need no network."""
    data = {**LoadBreastsd("image", **SETTINGS)({"image": str(exam)}), "exam_id": exam.name,
            "logits": torch.zeros(2, 2), "heatmap": torch.rand(2, 32, 32, 8)}
    assert isinstance(data["image"], MetaTensor)
    SaveResultd("pred", out)(MalignancyResultd("pred")(data))


def test_answers_carry_no_name_and_no_path(secret, tmp_path, capfd) -> None:
    exam = secret.path(0).parent
    source = nib.load(exam / "pre.nii.gz")
    source.header["descrip"], source.header["db_name"] = b"SECRET^Jane", b"SECRET"
    source.header["aux_file"] = b"SECRET.dcm"
    nib.save(source, exam / "pre.nii.gz")
    out = tmp_path / "answers"
    answer(exam, out)
    assert {path.name for path in out.iterdir()} == {f"{exam.name}_{kind}" for kind in (
        "heatmap.nii.gz", "result.json", "preview.png")}
    image = nib.load(out / f"{exam.name}_heatmap.nii.gz")
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        assert bytes(np.asarray(image.header[field]).tobytes()).strip(b"\0") == b""
    assert not image.header.extensions
    for path in out.iterdir():
        content = path.read_bytes()
        assert b"SECRET" not in content and str(tmp_path).encode() not in content
    assert "SECRET" not in "".join(capfd.readouterr())


def test_the_compressed_map_names_no_file(secret, tmp_path) -> None:
    """gzip keeps the name and the time of what it packed, unless told not to."""
    answer(secret.path(0).parent, tmp_path)
    header = next(tmp_path.glob("*.nii.gz")).read_bytes()[:10]
    assert not header[3] & 0x08  # no name


def test_checkpoints_hold_tensors_only(tmp_path) -> None:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    from ignite.engine import Engine

    engine = Engine(lambda engine, batch: None)
    engine.state.epoch, engine.state.iteration = 1, 5
    RunState(network, optimizer, tmp_path, tmp_path).save(engine)
    for name in ("model.pt", "resume.pt"):
        torch.load(tmp_path / name, weights_only=True)
        with zipfile.ZipFile(tmp_path / name) as archive:
            pickled = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
            assert str(tmp_path).encode() not in b"".join(archive.read(n) for n in archive.namelist())
        named = {str(value) for code, value, _ in pickletools.genops(pickled) if code.name == "GLOBAL"}
        assert all(value.split()[0].split(".")[0] in ("torch", "collections") for value in named), named


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "gotcha")


def test_a_checkpoint_from_elsewhere_runs_no_code(tmp_path) -> None:
    torch.save({"weight": Malicious(tmp_path / "trace")}, tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"model\.pt: damaged, or no checkpoint of tensors"):
        load_weights(nn.Linear(3, 2), tmp_path / "model.pt")
    assert not (tmp_path / "trace").exists()
