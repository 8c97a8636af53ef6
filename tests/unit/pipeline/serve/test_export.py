"""A trained bundle as one folder: complete, its own, and refused where the weights are another network's."""

from __future__ import annotations

import json
import shutil
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
    (tmp_path / "overlay.yaml").write_text("spread: 3.5\n")
    (tmp_path / "metrics.json").write_text("{}")
    words = ["export", BUNDLE, "--weights", str(weights), "-o", str(tmp_path / "out"), "--overlay",
             str(tmp_path / "overlay.yaml"), "--metrics", str(tmp_path / "metrics.json")]
    for _ in range(2):  # the second replaces the first
        assert main(words) == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == "breast_mri_curriculum"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"LICENSE", "configs/inference.json", "configs/train.json", "configs/metadata.json", "docs/README.md",
            "docs/metrics.json", "models/model.pt"} <= names
    assert json.loads((folder / "configs" / "inference.json").read_text())["spread"] == 3.5
    assert (folder / "models" / "model.pt").read_bytes() == weights.read_bytes()
    assert "exported: " in capsys.readouterr().out


def test_what_does_not_fit_leaves_nothing(weights, tmp_path, capsys) -> None:
    other = tmp_path / "other.pt"
    torch.save(CurriculumResNet(in_channels=3).state_dict(), other)
    for bundle, path, named in ((BUNDLE, other, "other.pt"), (BUNDLE, tmp_path / "none.pt", "none.pt"),
                                (str(tmp_path), weights, "not a bundle")):
        assert main(["export", bundle, "--weights", str(path), "-o", str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and named in line
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
    assert main(["export", BUNDLE, "--weights", str(weights), "-o", str(tmp_path / "bundles")]) == 2
    assert sorted(source.rglob("*")) == before
    said = capsys.readouterr().err
    assert "no earlier export; choose another -o" in said and said.count("\n") == 1
