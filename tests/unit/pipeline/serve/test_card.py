"""What an export says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.serve import card
from pipeline.serve.trained import Trained

ABOUT = {"label": "Main", "variant": "main", "fold": 2, "final": False, "preset": "paper", "unit": "lesion",
         "rule": "a rule", "dataset": {"name": "ours", "exams": 7, "patients": 6}}
CONTENT = {"description": "A network", "network_data_format": {
    "inputs": {"image": {"num_channels": 6, "spatial_shape": [1], "modality": "MR"}}, "outputs": {"pred": {"x": 1}}}}


def test_metadata_are_those_of_the_model() -> None:
    trained = Trained({}, metrics={"auroc": 0.75})
    found = card.metadata(CONTENT, {"channels": ["pre", "t2"]}, [32, 16], trained, "w.whl")
    assert found["network_data_format"] == {"outputs": {"pred": {"x": 1}}, "inputs": {"image": {
        "num_channels": 2, "channel_def": {"0": "pre", "1": "t2"}, "spatial_shape": [32, 16], "modality": "MR"}}}
    assert found["eval_metrics"] == {"auroc": 0.75} and found["description"].endswith("pip install wheels/w.whl")
    assert CONTENT["network_data_format"]["inputs"]["image"]["spatial_shape"] == [1]


def test_the_model_card_has_figures_and_the_headings_that_were_missing() -> None:
    text = "# Model Overview\n\nA. The bundle comes without trained weights, and without X's.\n\n## Data\n\nd\n\n" \
           "## References\n\n[1]\n"
    found = card.readme(text, "b", Trained({}, metrics={"auroc": 0.75}, threshold=0.5, about=ABOUT), "w.whl")
    headings = [line for line in found.splitlines() if line.startswith("#")]
    assert headings == ["# Model Overview", "## Install", "## This model", "## Data", "## References", "# License"]
    assert "| auroc | 0.750 |" in found and "a row a lesion" in found and "comes without" not in found
    assert "positive from a probability of 0.5, a rule" in found and "7 exams of 6 patients" in found
    assert "no figures" in card.readme(text, "b", Trained({}, about=ABOUT), "w.whl")


def test_sums_and_large_files(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"12345")
    (tmp_path / "LICENSE").write_bytes(b"")
    (tmp_path / card.SUMS).write_text("old")
    digest = hashlib.sha256(b"12345").hexdigest()
    assert card.sums(tmp_path) == f"{hashlib.sha256(b'').hexdigest()}  LICENSE\n{digest}  models/model.pt\n"
    assert card.large_files(tmp_path) is None
    monkeypatch.setattr(card, "LARGE", 4)
    assert card.large_files(tmp_path) == ('large_files:\n  - path: "models/model.pt"\n    url: ""\n'
                                          f'    hash_val: "{digest}"\n    hash_type: "sha256"\n')
    named = card.large_files(tmp_path, "https://files.example.org/v1/") or ""
    assert '\n    url: "https://files.example.org/v1/models/model.pt"\n' in named


def test_the_card_s_commands_are_those_of_the_export() -> None:
    text = "# Model Overview\n\n## MONAI Bundle Commands\n\n#### A\n\nrun $C/a.yaml\n\n## References\n\n[1]\n"
    found = card.readme(text, "b", Trained({}), "w.whl")
    assert ".yaml" not in found and "$C" not in found and found.count("## MONAI Bundle Commands") == 1
    assert "--config_file configs/inference.json --bundle_root ." in found and "## References\n\n[1]" in found
