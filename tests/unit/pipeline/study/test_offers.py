"""What a study's exams bring that variants may need."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import pytest
from commands import ROOT

from pipeline.datalist import MASK
from pipeline.errors import InputError
from pipeline.study.command import add_arguments
from pipeline.study.command import main as run_study
from pipeline.study.offers import marks, missing, offered, settings_needed
from pipeline.study.plan import read_study
from pipeline.study.record import left_out

DETECTORS = {"mask_rcnn", "retina_unet"}


def asked(cohort: Any, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(ROOT / "bundles/breast_mri_curriculum"), "--datalist", str(cohort.list), "--out",
                              "run", *words])


def outlined(cohort: Any) -> Any:
    datalist = cohort.load()
    for exam in datalist.exams:
        exam.images[MASK] = exam.images["pre"]
    cohort.save(datalist)
    return cohort


def test_needs_are_settings_or_what_the_exams_have() -> None:
    entry = {"needs": ["masks", "weights"]}
    assert settings_needed(entry) == ["weights"]
    assert missing(entry, set()) == ["masks"] and missing(entry, {"masks"}) == [] and missing({}, set()) == []


def test_without_masks_the_detectors_are_the_papers_rows(tiny_cohort) -> None:
    study, source = read_study(asked(tiny_cohort))
    assert not offered(source) and not DETECTORS & set(study.variants)
    rows = {row["label"]: row for row in left_out(study)}
    assert rows["Mask R-CNN"] == {"label": "Mask R-CNN", "parameters": 3909320, "auroc": [0.88, 0.01],
                                  "accuracy": [0.77, 0.03]}
    with pytest.raises(InputError, match=r"--variants retina_unet: no exam of tiny has a `lesions_mask`"):
        read_study(asked(tiny_cohort, "--variants", "retina_unet"))


def test_with_masks_they_run_and_another_preparation_is_another_step(tiny_cohort) -> None:
    before = read_study(asked(tiny_cohort))[0]
    study, source = read_study(asked(outlined(tiny_cohort)))
    assert set(study.variants) >= DETECTORS and not left_out(study)
    assert study.prepare_step(tiny_cohort.list).key != before.prepare_step(tiny_cohort.list).key
    assert not DETECTORS & set(read_study(asked(tiny_cohort, "--preset", "demo"))[0].variants)
    # 12 exams of two breasts; every second has a lesion with a centre, an outline and the number 1.
    assert marks(source) == {"labels": 24, "centres": 6, "masks": 6}


def test_sizes_stand_in_for_masks_where_a_variant_is_asked_for(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    for exam in datalist.exams:
        for lesion in exam.lesions:
            lesion.size_mm = (9.0, 9.0, 9.0)
    tiny_cohort.save(datalist)
    assert read_study(asked(tiny_cohort, "--variants", "mask_rcnn"))[0].variants == ["mask_rcnn"]
    assert not DETECTORS & set(read_study(asked(tiny_cohort))[0].variants)


def test_what_is_left_out_is_named_when_it_runs_and_not_in_what_is_printed(tiny_cohort, capsys, monkeypatch) -> None:
    assert run_study(asked(tiny_cohort, "--print", "--folds", "1")) == 0
    assert "left out" not in (printed := capsys.readouterr().out) and "retina" not in printed
    monkeypatch.setattr("pipeline.study.command._engine", lambda *args: SimpleNamespace(run=lambda parts: 0))
    monkeypatch.chdir(tiny_cohort.folder)
    assert run_study(asked(tiny_cohort, "--folds", "1")) == 0
    assert "retina_unet is left out: no exam has a `lesions_mask`" in capsys.readouterr().out
