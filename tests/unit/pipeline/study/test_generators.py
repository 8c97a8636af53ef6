"""Variants that a study does not write out: those of a setting's values, of subsets, and what is combined of them."""

from __future__ import annotations

import pytest
import yaml
from doubly_deep_study import INPUTS, STUDY

from pipeline.errors import InputError
from pipeline.study.generators import combined_variants, curves_of, subset_variants, trained_variants

STAGES = {"stages": [{"name": "train", "configs": ["a.yaml"], "settings": {"lr": "{lr}", "from": "{run}/m.pt"}}],
          "evaluate": {"configs": ["b.yaml"]}}


def plan(**parts: object) -> dict:
    return {"presets": ["paper", "demo"], **parts}


def test_seven_inputs_and_six_sizes_where_the_seventh_is_a_row_already() -> None:
    content = yaml.safe_load(STUDY)
    found = trained_variants(content)
    shares = ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]
    assert list(found) == [*INPUTS, *(f"t2-t0_{share}" for share in shares)]
    assert found["t2-t0"]["each"] == {"input": "t2-t0", "share": 1.0}
    small = found["t2-t0_0.01"]
    assert small["label"] == "t2-t0, 1% of the exams" and small["each"] == {"share": 0.01} and small["paper"] == {}
    assert small["stages"][0]["settings"] == {"input": "t2-t0", "share": "0.01"}
    assert found["t1-t0"]["evaluate"]["settings"] == {"input": "t1-t0", "model": "{run}/train/model.pt"}
    assert found["t0"]["paper"]["benign"] == {"auroc": [0.6304]} and "values" not in found["t0"]
    assert [name for name, entry in found.items() if "demo" in entry.get("presets", ["demo"])] == [
        "t2", "t1-t0", "t2-t0", "t3-t0", "t2-t0_0.1", "t2-t0_0.5"]
    assert curves_of(content) == {"share": {"axis": "Share of the training exams", "ticks": "{share:.0%}"}}


def test_variants_subsets_and_each_stand_together() -> None:
    train = {"name": "train", "configs": ["a.yaml"], "settings": {"channels": "{channels}"}}
    subsets = {"of": ["pre", "t2"], "size": 1, "parameters": 5, "paper": {"t2": {"auroc": [0.8]}}, "stages": [train],
               "evaluate": STAGES["evaluate"]}
    found = trained_variants(plan(variants={"own": {"label": "Own"}}, subsets=subsets,
                                  each={"lr": {"values": [0.1, 1.0e-5], **STAGES}}))
    assert list(found) == ["own", "pre", "t2", "lr_0.1", "lr_1e-05"]
    assert found["t2"] == subset_variants(subsets)["t2"] and found["t2"]["paper"] == {"auroc": [0.8]}
    assert found["pre"]["stages"][0]["settings"] == {"channels": "[pre]"}
    assert found["lr_1e-05"]["stages"][0]["settings"] == {"lr": "1e-05", "from": "{run}/m.pt"}
    assert trained_variants(plan(variants={"own": {}})) == {"own": {}}


@pytest.mark.parametrize(("parts", "message"), [
    ({"variants": {"lr_1": {}}, "each": {"lr": {"values": [1], **STAGES}}}, "variant lr_1 is there twice"),
    ({"each": {"lr": {"values": [1, 2], "existing": {2: "two"}, **STAGES}}}, "lr 2 is to be two, which is no variant")])
def test_what_cannot_be_generated_is_one_line(parts, message) -> None:
    with pytest.raises(InputError, match=message):
        trained_variants(plan(**parts))


def test_what_a_preset_combines_is_what_it_runs() -> None:
    content = yaml.safe_load(STUDY)
    content["variants"] = trained_variants(content)
    assert combined_variants(content, "paper")["ensemble"]["of"] == INPUTS
    assert combined_variants(content, "demo")["ensemble"] == {
        "label": "Ensemble selection", "kind": "selection", "of": ["t2", "t1-t0", "t2-t0", "t3-t0"],
        "paper": {"malignant": {"auroc": [0.8459]}}}


@pytest.mark.parametrize(("entry", "message"), [
    ({"kind": "vote", "of": ["a"]}, "`kind` is none of mean, selection"),
    ({"kind": "mean", "of": ["a", "c"]}, "takes c, which is no variant"),
    ({"kind": "mean", "of": ["a", "late"]}, "takes late, which is no variant of preset demo"),
    ({"kind": "mean", "of": {"paper": ["late"]}}, "takes nothing in preset demo"),
    ({"kind": "mean", "of": ["several"]}, "rows of its own")])
def test_what_cannot_be_combined_is_one_line(entry, message) -> None:
    variants = {"a": {}, "late": {"presets": ["paper"]}, "several": {"rows": {"x": {}}}}
    with pytest.raises(InputError, match=message):
        combined_variants(plan(variants=variants, combined={"both": entry}), "demo")
    with pytest.raises(InputError, match="variant a is there twice"):
        combined_variants(plan(variants=variants, combined={"a": {"kind": "mean", "of": ["a"]}}), "demo")
