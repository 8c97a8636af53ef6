"""Boxes in the report: numbers by hand from written tables, and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from written_study import rows_of_test, write_map, write_run

from pipeline.report.analyse import analyse
from pipeline.report.page import render
from pipeline.report.parts.boxes import asked_of_the_annotator, boxes
from pipeline.report.predictions import load_run

MARKS = {"labels": 240, "centres": 1234, "masks": 56}


@pytest.fixture(scope="module")
def detected(tmp_path_factory) -> Path:
    """A study whose second variant wrote boxes.

    Fold 0: every malignant breast has an outlined malignant lesion, of which the surer half is found by a box of 0.9,
    and every other breast has a false box of 0.5. Fold 1: all are found, none is false.
    """
    folder = write_run(tmp_path_factory.mktemp("detected"))
    for fold in (0, 1):
        test = rows_of_test(folder, "base_a", fold).reset_index(drop=True)
        bad = test[test["label"] == 1][["exam_id", "side"]].assign(split="test")
        rest = test[test["label"] == 0][["exam_id", "side"]].assign(split="test")
        found = bad.iloc[: len(bad) // 2] if fold == 0 else bad
        rows = [found.assign(**{"class": "malignant", "score": 0.9, "outcome": "found"}),
                found.assign(**{"class": "malignant", "score": 0.3, "outcome": "again"}),
                rest.iloc[: 0 if fold else None].assign(**{"class": "malignant", "score": 0.5, "outcome": "false"}),
                bad.assign(**{"split": "validation", "class": "malignant", "score": 1.0, "outcome": "false"})]
        place = folder / "base_a" / f"fold{fold}"
        pd.concat(rows).to_csv(place / "detections.csv", index=False)
        bad.assign(**{"class": "malignant"}).to_csv(place / "outlines.csv", index=False)
        write_map(place / "maps" / "a.npz", label=1, boxes=np.array([[1, 2, 4, 6.0]]), box_malignant=np.array([True]),
                  box_score=np.array([0.5]))
    study = json.loads((folder / "study.json").read_text())
    study["dataset"]["marks"] = MARKS
    study["variants"]["main"]["marks"] = ["labels", "centres"]
    study["variants"]["base_a"]["marks"] = ["labels", "masks"]
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def test_numbers_by_hand(detected) -> None:
    found = boxes(load_run(detected), count=200, seed=0)
    assert list(found) == ["base_a"]
    of = found["base_a"]
    bad = [int((rows_of_test(detected, "base_a", fold)["label"] == 1).sum()) for fold in (0, 1)]
    assert of["lesions"] == {"malignant": sum(bad), "benign": 0}
    share = (bad[0] // 2) / bad[0]  # found at once, nothing false above it: precision 1 up to that recall
    reached = np.floor(share * 100 + 1e-9) + 1
    assert of["precision"]["malignant"]["per_fold"] == pytest.approx([reached / 101, 1.0])
    assert np.isnan(of["precision"]["benign"]["mean"])  # no lesion of that class
    low, high = of["precision"]["malignant"]["ci95"]
    assert low < (reached / 101 + 1) / 2 < high
    assert [row["mean"] for row in of["froc"]["sensitivity"]] == pytest.approx([(share + 1) / 2] * 7)
    false = 120 - bad[0]  # of 120 test breasts a fold
    assert of["boxes_a_breast"] == pytest.approx((2 * (bad[0] // 2) + false + 2 * bad[1]) / 240)


def test_a_study_without_boxes_has_none(tmp_path) -> None:
    run = load_run(write_run(tmp_path))
    assert boxes(run, count=100, seed=0) == {} and asked_of_the_annotator(run.study) == []
    assert "boxes" not in analyse(run, count=100)


def test_what_each_method_asks_and_the_page_that_says_it(detected) -> None:
    run = load_run(detected)
    assert asked_of_the_annotator(run.study) == [
        {"variant": "main", "labels": 240, "centres": 1234, "masks": None},
        {"variant": "base_a", "labels": 240, "centres": None, "masks": 56}]
    metrics: Any = analyse(run, count=100)
    page = render(run, metrics)
    assert "What each method asks of the annotator" in page and "1\u202f234" in page
    section = page.split('<section id="boxes">')[1].split("</section>")[0]
    assert "Average precision" in section and section.count("<figure>") == 2 and "Base a: test breasts" in section
    # Row 1, column 2, to row 4, column 6.
    assert '<rect x="2.0" y="1.0" width="4.0" height="3.0"' in section and 'stroke-width="1.6"' in section
    assert "Figure" in page.split('<section id="maps">')[1]  # the first variant's maps are still there
