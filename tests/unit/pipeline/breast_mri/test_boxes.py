"""Cases of detectors: what is known of a breast's lesions, what is left out, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.breast_mri.boxes import detections, prepare_batch
from pipeline.errors import InputError
from pipeline.training.batches import SeededDataset, collate
from transforms import LesionBoxesd, LoadLesionMaskd, LoadPreparedd

ALL = ("train", "validation", "test")


@pytest.fixture
def changed(make_prepared, reseal, tmp_path) -> Callable[..., Path]:
    """A prepared dataset whose cases were changed: `change(case)` of those of an exam's side."""
    def make(change: Callable[[dict[str, Any]], Any], exam: str = "E0000", side: str = "L") -> Path:
        folder = make_prepared(tmp_path / "prepared")
        content = json.loads((folder / "prepared.json").read_text())
        for case in content["breasts"]:
            if exam in (case["exam_id"], "") and side in (case["side"], ""):
                change(case)
        return reseal(folder, content)
    return make


def test_every_breast_is_a_case_and_its_box_is_where_the_lesion_is(tiny_prepared) -> None:
    cases = detections(tiny_prepared, 0, *ALL)
    assert len(cases) == 24 and [case["label"] for case in cases[:4]] == [1, 0, 0, 0]
    steps = [LoadPreparedd("image"), LoadLesionMaskd(), LesionBoxesd()]
    for case in cases[:3]:
        data: Any = dict(case)
        for step in steps:
            data = step(data)
        targets = data["targets"]
        x, y, z, malignant = case["lesions"][0]
        assert targets["boxes"].tolist() == [[x - 4, y - 4, z - 1, x + 5, y + 5, z + 2]]  # 9 × 9 × 3 around the centre
        assert targets["labels"].tolist() == [1 + malignant]
        assert targets["mask"].sum() == 9 * 9 * 3


def test_a_batch_is_what_a_detector_takes(tiny_prepared) -> None:
    cases = [{**case, "image": torch.zeros(1, 4, 4, 4), "mask": torch.zeros(1, 4, 4, 4, dtype=torch.uint8)}
             for case in detections(tiny_prepared, 0, "train")[:2]]
    cases[1].pop("mask_sha256")  # cases need not have the same keys
    image, label, arguments, keywords = prepare_batch(collate([LesionBoxesd()(case) for case in cases]), "cpu")
    assert image.shape == (2, 1, 4, 4, 4) and keywords == {}
    assert [each["boxes"].shape for each in label] == [(0, 6), (0, 6)] and arguments == (label,)


def test_a_mask_that_was_changed_is_refused(make_prepared, tmp_path) -> None:
    folder = make_prepared(tmp_path / "prepared")
    cases = detections(folder, 0, "train")
    path = Path(cases[0]["mask"])
    np.save(path, np.load(path) * 0)
    with pytest.raises(InputError, match=rf"{path.name}.*delete it and run prepare\.yaml again"):
        SeededDataset(cases)[0]


@pytest.mark.parametrize("change, said", [
    (lambda case: case["outlines"].update(unlabelled=[3]),
     "exam E0000, breast L: number 3 of its lesion mask is no lesion with a label"),
    (lambda case: case.update(malignant=0), "exam E0000, breast L: a lesion is malignant and the breast is not"),
])
def test_what_is_wrong_is_named(changed, change, said) -> None:
    folder = changed(change)
    with pytest.raises(InputError, match=said):
        detections(folder, 0, *ALL)
    with pytest.raises(InputError, match=said):
        detections(folder, 0, *ALL, everything=True)


@pytest.mark.parametrize("change", [
    lambda case: case["outlines"].update(marks=[]),  # an empty mask in a malignant breast
    lambda case: case["outlines"].update(marks=[], outside_crop=1),  # its lesion was cut away by the crop
    lambda case: case.pop("outlines"),  # no mask, and a lesion of no known size
])
def test_a_breast_that_would_teach_the_wrong_thing_is_left_out_and_counted(changed, change, capsys) -> None:
    folder = changed(change)
    cases = detections(folder, 0, *ALL)
    assert len(cases) == 23 and ("E0000", "L") not in {(case["exam_id"], case["side"]) for case in cases}
    assert "detectors: 1 of 24 breasts of train and validation and test are left out" in capsys.readouterr().out
    assert len(detections(folder, 0, *ALL, everything=True)) == 24 and not capsys.readouterr().out


def test_sizes_do_without_a_mask(changed) -> None:
    def sized(case: dict[str, Any]) -> None:
        extents = [[x, y, z, 9.0, 9.0, 3.0, malignant] for x, y, z, malignant in case["lesions"]]
        case["outlines"] = {"extents": extents}
    cases = detections(changed(sized, exam="", side=""), 0, *ALL)
    assert len(cases) == 24 and {case["mask"] for case in cases} == {None}
    with_lesion = [case for case in cases if case["lesions"]]
    assert all(len(case["extents"]) == 1 for case in with_lesion)


def test_no_outlines_at_all(changed) -> None:
    folder = changed(lambda case: case.pop("outlines"), exam="", side="")
    with pytest.raises(InputError, match="fold 0 has no lesion with a mask or a size in train; detectors need"):
        detections(folder, 0, "train")
    assert len(detections(folder, 0, "test", everything=True)) == 8
