"""A trained bundle as one folder: complete, its own, and refused where the weights are another network's."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from commands import ROOT

from pipeline.__main__ import main
from pipeline.networks.curriculum_resnet import CurriculumResNet

BUNDLE = "bundles/breast_mri_curriculum"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "trained.pt"
    torch.save(CurriculumResNet().state_dict(), path)
    return path


def test_the_folder_holds_what_a_host_needs(weights, tmp_path, capsys) -> None:
    (tmp_path / "overlay.yaml").write_text("spread: 3.5\nmatrix: [64, 64, 8]\nrows: 32\n")
    words = ["export", BUNDLE, "--weights", f"weights={weights}", "-o", str(tmp_path / "out"), "--overlay",
             str(tmp_path / "overlay.yaml")]
    for _ in range(2):  # the second replaces the first
        assert main(words) == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == "breast_mri_curriculum"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"LICENSE", "configs/inference.json", "configs/train.json", "configs/metadata.json", "docs/README.md",
            "models/model.pt", "wheels/breast_bundles-0.1.0-py3-none-any.whl", "SHA256SUMS"} <= names
    inference = json.loads((folder / "configs" / "inference.json").read_text())
    assert inference["spread"] == 3.5 and inference["threshold"] is None
    image = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    assert image["spatial_shape"] == [32, 32, 8]
    assert (folder / "models" / "model.pt").read_bytes() == weights.read_bytes()
    assert "nothing is known of their training" in (folder / "docs" / "README.md").read_text()
    assert "exported: " in capsys.readouterr().out
    assert main([*words[:4], "-o", str(tmp_path / "one.zip")]) == 0
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {name.partition("/")[2] for name in archive.namelist()} == names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.zip", "out", "overlay.yaml"]


def test_what_does_not_fit_leaves_nothing(weights, tmp_path, capsys) -> None:
    other = tmp_path / "other.pt"
    torch.save(CurriculumResNet(in_channels=3).state_dict(), other)
    named = ["--weights", f"weights={weights}"]
    for bundle, words, told in (
            (BUNDLE, ["--weights", f"weights={other}"], "model.pt: checkpoint of another network"),
            (BUNDLE, ["--weights", f"weights={tmp_path / 'none.pt'}"], "none.pt: no such file"),
            (BUNDLE, ["--weights", f"model={weights}"], "model: give NAME=FILE with NAME one of weights"),
            ("bundles/mammography_attention", ["--weights", f"model={weights}"], "attention=FILE is missing"),
            (BUNDLE, [], "give either --run"), (BUNDLE, [*named, "--run", "x"], "give either --run"),
            (BUNDLE, ["--run", "x", "--overlay", str(ROOT / "bundles/common/smoke.yaml")], "--overlay goes with"),
            (BUNDLE, [*named, "--overlay", "no.yaml"], "no.yaml: no such file"),
            (BUNDLE, [*named, "--url", "host/x"], "--url host/x: give an address that begins with https://"),
            (str(tmp_path), named, "not a bundle")):
        assert main(["export", bundle, *words, "-o", str(tmp_path / "out" / "deep")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and told in line
    assert not (tmp_path / "out").exists()


def test_an_export_that_its_own_config_cannot_load_is_an_error(weights, tmp_path, capsys) -> None:
    overlay = tmp_path / "overlay.yaml"
    for text, told in (("map: wrong\n", "--map 'wrong': one of evidence"),
                       ("rows: null\n", "--rows 'None': a whole number"),
                       ("inferer#_target_: pipeline.explain.none.None\n", "cannot be loaded")):
        overlay.write_text(text)
        assert main(["export", BUNDLE, "--weights", f"weights={weights}", "--overlay", str(overlay), "-o",
                     str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", ["the bundle itself", "somebody's folder"])
def test_nothing_else_is_touched(weights, tmp_path, capsys, which) -> None:
    source = tmp_path / "bundles" / Path(BUNDLE).name
    if which == "the bundle itself":
        shutil.copytree(ROOT / BUNDLE, source)
    else:
        source.mkdir(parents=True)
        (source / "thesis.tex").touch()
    before = sorted(source.rglob("*"))
    assert main(["export", BUNDLE, "--weights", f"weights={weights}", "-o", str(tmp_path / "bundles")]) == 2
    assert sorted(source.rglob("*")) == before
    said = capsys.readouterr().err
    assert "no earlier export; choose another -o" in said and said.count("\n") == 1
