"""Examinations for the four-view comparator: which pixels of a rectangle land where, worked out by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.mammography.comparator.exams import ExamWindows, exams, write_scores

VIEWS = ("L-CC", "R-CC", "L-MLO", "R-MLO")
# Pixel counts of scale 0.01: 1 erosion, buffers of 1, windows CC 27×19 and MLO 30×17. The breast fills rows 10 to 49
# and columns 0 to 24 of 60×40, so that its box is rows 9 to 50, columns 0 to 25.
PICTURE = np.zeros((60, 40), np.uint16)
PICTURE[10:50, :25] = 1000 + 3 * np.arange(40)[:, None] + np.arange(25)
# CC: right edge at column 24; of the rows that hold 27 of the breast, the 27 nearest to the box's middle.
# MLO: right edge at column 24, bottom edge at row 49.
WINDOWS = {"CC": PICTURE[16:43, 6:25], "MLO": PICTURE[20:50, 8:25]}


@pytest.fixture
def exam(tmp_path) -> dict:
    for name in VIEWS:
        np.save(tmp_path / f"{name}.npy", PICTURE[None, None, 10:50, :25])
    return {"exam_id": "E1", "views": {name: {"image": str(tmp_path / f"{name}.npy"), "frame": [60, 40, 10, 0]}
                                       for name in VIEWS}}


def case(exam: str, name: str, malignant: int | None = 0, detection: str | None = "negative", **other) -> dict:
    return {"exam_id": exam, "patient_id": f"P{exam}", "split": "test", "label": 0, "groups": {"detection": detection},
            "readers": {"a": {"L": 2, "R": 3}}, "side": name[0], "view": name[2:], "image": f"{exam}_{name}.npy",
            "frame": [60, 40, 10, 0], "sha256": "d", "fold": 0, "assignment": "a", "malignant": malignant,
            "detection": detection, **other}


@pytest.mark.parametrize("name", VIEWS)
def test_window_is_cut_and_standardised(exam, name) -> None:
    window = WINDOWS[name[2:]].astype(float)
    (views,) = ExamWindows(scale=0.01)(exam)
    expected = (window - window.mean()) / window.std()
    np.testing.assert_allclose(views[name][0, 0].numpy(), expected, atol=1e-4)
    assert views[name].shape == (1, 1, *window.shape)


def test_heat_maps_are_cut_alike_and_not_standardised(exam) -> None:
    seen = []

    def maps(breast: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(breast.shape))
        return torch.stack([breast / 2000, 1 - breast / 2000])

    (views,) = ExamWindows(scale=0.01, maps=maps)(exam)
    assert seen == [(42, 26)] * 4  # the breast's box
    for name in VIEWS:
        benign = WINDOWS[name[2:]] / 2000
        np.testing.assert_allclose(views[name][0, 1:].numpy(), [benign, 1 - benign], atol=1e-6)


def test_random_windows_are_the_same_each_time(exam) -> None:
    first, again = list(ExamWindows(0.01, augment=3)(exam)), list(ExamWindows(0.01, augment=3)(exam))
    assert len(first) == 3 and all(v["L-CC"].shape == (1, 1, 27, 19) for v in first)
    assert all(torch.equal(a[name], b[name]) for a, b in zip(first, again, strict=True) for name in VIEWS)
    assert not torch.equal(first[0]["L-CC"], first[1]["L-CC"])


def test_a_view_without_breast_is_named(exam) -> None:
    with pytest.raises(InputError, match="exam E1, L-CC: no breast wider than 200 pixels found; set scale") as error:
        next(ExamWindows()(exam))
    assert "\n" not in str(error.value)


def test_exams_without_each_view_once_are_left_out_and_counted(capsys) -> None:
    cases = [case(e, n) for e, names in {"whole": VIEWS, "three": VIEWS[:3], "twice": (*VIEWS[:3], "L-CC")}.items()
             for n in names]
    (found,) = exams(cases)
    assert found["exam_id"] == "whole" and set(found["views"]) == set(VIEWS)
    assert found["views"]["R-MLO"] == {"image": "whole_R-MLO.npy", "frame": [60, 40, 10, 0], "sha256": "d"}
    assert capsys.readouterr().out == "left out: 2 exams without each of L-CC, R-CC, L-MLO, R-MLO once\n"


def test_rows_are_those_of_the_other_models(tmp_path) -> None:
    scored = [{**case("A", "L-CC", label=1), "score": 0.25}, {**case("B", "L-CC", split="train"), "score": 0.5}]
    write_scores(tmp_path, 3, "pretrained", scored)
    with (tmp_path / "predictions.csv").open() as file:
        assert list(csv.DictReader(file)) == [{
            "variant": "pretrained", "exam_id": "A", "patient_id": "PA", "side": "", "fold": "3", "split": "test",
            "label": "1", "group_detection": "negative", "reader_a": "3", "reading_L_a": "2", "reading_R_a": "3",
            "images": "4", "score": "0.25"}]
