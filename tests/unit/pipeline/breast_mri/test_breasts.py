"""Breasts and their lesions as cases of a fold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.breast_mri.breasts import breasts, lesions, patches
from pipeline.errors import InputError
from pipeline.training.batches import BalancedSampler


def test_splits_follow_the_folds(tiny_prepared) -> None:
    # 12 exams in 3 folds: 4 are tested in fold 1, another 4 validate, 4 train; two breasts each.
    parts = {split: breasts(tiny_prepared, 1, split) for split in ("train", "validation", "test")}
    assert {split: len(cases) for split, cases in parts.items()} == {"train": 8, "validation": 8, "test": 8}
    assert {case["exam_id"] for case in parts["test"]} == {"E0001", "E0004", "E0007", "E0010"}
    assert {case["exam_id"] for case in parts["validation"]} == {"E0000", "E0003", "E0006", "E0009"}
    assert all(case["split"] == split for split, cases in parts.items() for case in cases)
    both = breasts(tiny_prepared, 1, "validation", "test")
    assert len(both) == 16
    case = parts["validation"][0]
    assert Path(case["image"]).is_file() and (case["side"], case["label"]) == ("L", 1)


def test_lesions_are_cases_of_their_own(tiny_prepared) -> None:
    cases = lesions(tiny_prepared, 0, "train", "validation", "test")
    # Exams 0, 2, … 10 have a malignant breast; 0, 4, 8 a benign one beside it; 1, 5, 9 two benign ones.
    assert Counter(case["label"] for case in cases) == {1: 6, 0: 9}
    assert all([*case["center"], case["label"]] in case["lesions"] for case in cases)


@pytest.mark.parametrize("healthy", [0.1, 0.3])
def test_healthy_patches_are_drawn_as_often_as_asked(make_prepared, tmp_path, healthy) -> None:
    folder = make_prepared(tmp_path / "prepared", exams=24)
    found = patches(folder, 0, "train", healthy=healthy)
    assert found[: len(lesions(folder, 0, "train"))] == lesions(folder, 0, "train")
    free = [case for case in found if case["center"] is None]
    assert all(case["label"] == 0 and case["malignant"] == 0 and case["lesions"] == [] for case in free)
    drawn = [found[i] for i, _ in BalancedSampler(found, length=4000)]
    assert sum(case["center"] is None for case in drawn) / 4000 == pytest.approx(healthy, abs=0.03)
    assert sum(case["label"] for case in drawn) == 2000


def test_without_healthy_patches_stage_1_is_the_paper_s(tiny_prepared) -> None:
    assert patches(tiny_prepared, 0, "train") == lesions(tiny_prepared, 0, "train")
    with pytest.raises(InputError, match=r"healthy_share is 0\.5; give a share"):
        patches(tiny_prepared, 0, "train", healthy=0.5)
