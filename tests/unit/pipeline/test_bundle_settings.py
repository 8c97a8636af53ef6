"""A bundle's settings, read from its config's own lines and comments."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.bundle_settings import Setting, settings

ROOT = Path(__file__).parents[3]
BASES = sorted(path for path in ROOT.glob("bundles/*/configs/*.yaml") if path.stem in ("train", "prepare", "inference"))


def test_names_defaults_and_meanings(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "# A title: not a setting\nimports:\n- \"$import torch\"\n\n# hyperparameters\nlr: 1.0e-5  # §3.1, Adam\n"
        "note: \"a # in quotes\"  # words, mm\nseed: 0\nloss:\n  _target_: x\ntrain#amp: true\nempty:\nmap: {a: 1}\n")
    assert settings(tmp_path / "a.yaml") == [
        Setting("lr", "1.0e-5", "§3.1, Adam"), Setting("note", '"a # in quotes"', "words, mm"), Setting("seed", "0")]


@pytest.mark.parametrize("path", BASES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_every_plain_setting_of_a_bundle_is_listed_with_a_meaning(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    plain = {key for key, value in content.items() if value is None or isinstance(value, (int, float, bool)) or (
        isinstance(value, list) and all(isinstance(v, (int, float, str)) and str(v)[:1] != "$" for v in value))}
    found = {each.name: each for each in settings(path)}
    assert plain <= set(found)
    silent = {name for name in plain if not found[name].meaning}
    assert silent <= {"seed", "workers", "load_pretrain"}, silent


def test_as_a_command(capsys) -> None:
    bundle = str(ROOT / "bundles" / "breast_mri_curriculum")
    assert main(["settings", bundle]) == 0
    said = capsys.readouterr().out
    assert "lr " in said and "1.0e-5" in said and "§3.1, stage 2, Adam" in said
    assert max(map(len, said.splitlines())) <= 120
    assert main(["settings", bundle, "evaluate.yaml"]) == 0
    assert "radius_mm" in capsys.readouterr().out
    assert main(["settings", bundle, "nothing"]) == 2
    assert "choose one of" in capsys.readouterr().err
    assert main(["settings", str(ROOT / "docs")]) == 2
    assert "docs: no bundle" in capsys.readouterr().err
