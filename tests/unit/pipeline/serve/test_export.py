"""Export: only what an export made is ever replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from commands import ROOT

from pipeline.__main__ import main
from pipeline.networks.curriculum_resnet import CurriculumResNet
from pipeline.serve.export import MARK

BUNDLE = ROOT / "bundles" / "breast_mri_curriculum"


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    torch.save(CurriculumResNet(6, 2).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def export(bundle: Path, weights: Path, output: Path) -> int:
    return main(["export", str(bundle), "--weights", str(weights), "-o", str(output)])


def test_an_export_replaces_an_export(weights, tmp_path) -> None:
    for _ in range(2):
        assert export(BUNDLE, weights, tmp_path / "out") == 0
        (tmp_path / "out" / BUNDLE.name / "stray").touch()
    names = {path.name for path in (tmp_path / "out" / BUNDLE.name).iterdir()}
    assert {"configs", "models", "docs", "LICENSE", MARK} <= names
    assert [path.name for path in (tmp_path / "out").iterdir()] == [BUNDLE.name]


@pytest.mark.parametrize("which", ["the bundle itself", "somebody's folder"])
def test_nothing_else_is_touched(weights, tmp_path, capsys, which) -> None:
    source = tmp_path / "bundles" / BUNDLE.name
    if which == "the bundle itself":
        shutil.copytree(BUNDLE, source)
    else:
        source.mkdir(parents=True)
        (source / "thesis.tex").touch()
    before = sorted(source.rglob("*"))
    assert export(BUNDLE, weights, tmp_path / "bundles") == 2
    assert sorted(source.rglob("*")) == before
    said = capsys.readouterr().err
    assert "no earlier export; choose another -o" in said and said.count("\n") == 1
