"""Readers beside variants: from which score they are positive, pairs of them, and what the report says of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from written_study import rows_of_test, write_run

from pipeline.__main__ import main
from pipeline.mammography.screening import exam_row


def test_from_which_score_a_reader_is_positive_is_a_setting(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert main(["report", str(run), "--replicates", "100", "--positive-from", "2"]) == 0
    read = pd.concat([rows_of_test(run, "main", fold) for fold in (0, 1)]).dropna(subset="reader_one")
    reader = json.loads((run / "metrics.json").read_text())["readers"]["one"]
    assert reader["positive_from"] == 2
    right = read["reader_one"][read["label"] == 0] < 2
    assert reader["specificity"]["value"] == pytest.approx(right.mean(), abs=1e-5)
    assert "2 (of 1 to 5)" in (run / "report.html").read_text()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two folds of 60 examinations each, a third of them with a screen-detected cancer, a few with an interval one."""
    random = np.random.default_rng(0)
    for fold in (0, 1):
        rows = []
        for i in range(60):
            split = "test" if i % 2 else "validation"
            detection = "screen" if i % 3 == 0 else "interval" if i % 10 == 1 else "negative"
            worse = 2 * (detection == "screen")
            readers = {name: {"L": float(min(random.integers(1, 4) + worse, 5)), "R": float(random.integers(1, 4))}
                       for name in "ab"}
            readers["c"] = {side: round(float(random.random()), 3) for side in "LR"}
            case = {"exam_id": f"E{fold}{i:02d}", "patient_id": f"P{fold}{i:02d}", "split": split,
                    "label": int(detection == "screen"), "groups": {"detection": detection}, "readers": readers}
            rows.append({"variant": "first", **exam_row(case, fold), "images": 4,
                         "score": round(float(np.clip(0.3 + 0.2 * worse + 0.2 * random.normal(), 0, 1)), 4)})
        folder = tmp_path / "first" / f"fold{fold}"
        folder.mkdir(parents=True)
        pd.DataFrame(rows).to_csv(folder / "predictions.csv", index=False)
    (tmp_path / "study.json").write_text(json.dumps({
        "schema": "breast-bundles/study/1", "title": "Screening", "folds": [0, 1], "unit": "examination",
        "variants": {"first": {"label": "First"}}, "comparisons": [], "readers": {"positive_from": 2},
        "screening": {"rest": None, "one_reader": [0.930, 0.836], "two_readers": [0.987, 0.886]}}))
    return tmp_path


def test_readers_and_their_pairs(study: Path) -> None:
    assert main(["report", str(study), "--replicates", "100"]) == 0
    page, found = (study / "report.html").read_text(), json.loads((study / "metrics.json").read_text())["screening"]
    assert "Two readers, sum a breast: mean of 3 pairs" in page and "a + b" in page
    assert "positive from 2: only the lowest is negative (§1)" in " ".join(page.split())
    assert "No sensitivity at the specificity of c: scores are not 1 to 5, and no threshold is named" in page
    assert [row["reader"] for row in found["matched"]] == ["a", "b"] and len(found["pairs"]) == 3


def test_a_threshold_matches_the_reader_with_probabilities(study: Path) -> None:
    assert main(["report", str(study), "--replicates", "100", "--reader-threshold", "0.6"]) == 0
    page, metrics = (study / "report.html").read_text(), json.loads((study / "metrics.json").read_text())
    assert "No sensitivity at the specificity of" not in page
    (row,) = [row for row in metrics["screening"]["matched"] if row["reader"] == "c"]
    assert row["positive_from"] == 0.6
    same = metrics["readers"]["c"]["variants"]["first"]["sensitivity_at_specificity"]
    assert row["variants"]["first"]["mean"] == same
