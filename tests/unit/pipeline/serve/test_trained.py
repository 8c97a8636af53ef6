"""What a run tells of its model: weights, settings of the stage that counts, threshold and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import ROOT

from pipeline.errors import InputError
from pipeline.serve.trained import read_trained, weight_names

MAMMOGRAPHY = ROOT / "bundles" / "mammography_attention"
ULTRASOUND = ROOT / "bundles" / "breast_ultrasound_center_point"


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))


@pytest.fixture
def run(tmp_path) -> Path:
    """Two folds of mammography; holistic model, attention model, thresholds 0.4 and 0.6 of the ensemble."""
    for fold in (0, 1):
        place = tmp_path / "image_labels" / f"fold{fold}"
        write(place / "holistic" / "model.pt", "h")
        write(place / "attention" / "model.pt", "a")
        write(place / "holistic" / "config.yaml", {"width": 96, "layers": 18, "padding": 6, "output_dir": "/secret",
                                                   "holistic": "/secret/model.pt", "seed": "$1"})
        write(place / "attention" / "config.yaml", {"width": 96, "layers": 18, "region": 80, "padding": 10})
        cut = 0.4 + 0.2 * fold
        write(place / "predictions.csv", "split,label,score,variant\n" + "".join(
            f"{split},{label},{score},{variant}\n" for variant, shift in (("holistic", 0.1), ("ensemble", 0.0))
            for split, label, score in (("validation", 0, cut - 0.1), ("validation", 1, cut + shift), ("test", 1, 0))))
    write(tmp_path / "prepared" / "config.yaml", {"stored": "mirrored", "datalist": "/secret/list.json", "width": 1})
    study = {"bundle": MAMMOGRAPHY.name, "preset": "demo", "unit": "examination", "folds": [0, 1], "final_fold": None,
             "variants": {"image_labels": {}}, "dataset": {"name": "cohort"}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    return tmp_path


def test_two_networks_with_the_settings_they_were_trained_with(run) -> None:
    found = read_trained(MAMMOGRAPHY, run, None, 1)
    place = run / "image_labels" / "fold1"
    assert found.weights == {"model": place / "holistic" / "model.pt", "attention": place / "attention" / "model.pt"}
    assert found.settings == {"stored": "mirrored", "width": 96, "layers": 18, "padding": 10, "region": 80}
    files, settings = found.configs["train"]  # of the stage whose weights are the main ones
    assert [path.name for path in files] == ["train.yaml"] and settings["padding"] == 6
    assert found.threshold == pytest.approx(0.6) and found.about["row"] == "ensemble"
    assert found.metrics == {} and found.report is None


def test_figures_are_those_of_the_report(run) -> None:
    rates = {name: {"mean": value} for name, value in (("auroc", 0.8), ("accuracy", 0.7), ("sensitivity", 0.6))}
    (run / "metrics.json").write_text(json.dumps({"variants": {"ensemble": {**rates, "specificity": {"mean": None}}}}))
    found = read_trained(MAMMOGRAPHY, run, None, 0)
    assert found.metrics == {"auroc": 0.8, "accuracy": 0.7, "sensitivity": 0.6}
    assert found.report == run / "metrics.json" and found.threshold == pytest.approx(0.4)


def test_the_final_fold_is_the_default_and_takes_the_median_threshold(run) -> None:
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "final_fold": 5}))
    last = run / "image_labels" / "fold5"
    for name in ("holistic", "attention"):
        write(last / name / "model.pt", name)
    write(last / "predictions.csv", "split,label,score,variant\ntest,1,0.9,ensemble\n")
    final = {"ensemble": {name: {"value": 0.5} for name in ("auroc", "accuracy", "sensitivity", "specificity")}}
    (run / "metrics.json").write_text(json.dumps({"final": final, "variants": {}}))
    found = read_trained(MAMMOGRAPHY, run, None, None)
    assert found.about["fold"] == 5 and found.threshold == pytest.approx(0.5)
    assert "median" in found.about["rule"] and found.metrics["auroc"] == 0.5


@pytest.mark.parametrize(("words", "told"), [
    ((None, None), "has no final fold; add --fold, one of 0, 1"), ((None, 7), "--fold 7: not in"),
    (("adapted", 0), "--variant adapted: not in")])
def test_what_is_not_there_is_named(run, words, told) -> None:
    with pytest.raises(InputError, match=told):
        read_trained(MAMMOGRAPHY, run, *words)


def test_other_folders_are_refused(run, tmp_path) -> None:
    with pytest.raises(InputError, match="a study of mammography_attention; name that bundle"):
        read_trained(ULTRASOUND, run, None, 0)
    (run / "image_labels" / "fold0" / "attention" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"fold0/attention/model\.pt: no such weights; the study has not come"):
        read_trained(MAMMOGRAPHY, run, None, 0)
    (run / "study.json").unlink()
    with pytest.raises(InputError, match=r"no study \(study\.json\)"):
        read_trained(MAMMOGRAPHY, run, None, 0)


def test_every_bundle_names_its_network_s_weights_first() -> None:
    for path in sorted((ROOT / "bundles").glob("*/configs/inference.yaml")):
        config = yaml.safe_load(path.read_text())
        main = next(iter(weight_names(config)))
        assert f"@network_def, @{main}," in config["load"][0]
