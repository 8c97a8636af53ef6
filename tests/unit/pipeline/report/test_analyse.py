"""What a report says of a study made up here, against scikit-learn and by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from written_study import VARIANTS, edit, rows_of_test, write_run

from pipeline.__main__ import main


def test_auroc_is_the_mean_over_test_folds(finished: Path, metrics: Any) -> None:
    for variant in VARIANTS:
        areas = []
        for fold in (0, 1):
            table = rows_of_test(finished, variant, fold)
            areas.append(roc_auc_score(table["label"], table["score"]))
        found = metrics["variants"][variant]["auroc"]
        assert found["per_fold"] == pytest.approx(areas, abs=1e-5)
        assert found["mean"] == pytest.approx(np.mean(areas), abs=1e-5)
        assert found["sd"] == pytest.approx(np.std(areas, ddof=1), rel=1e-4)
        assert found["ci95"][0] < found["mean"] < found["ci95"][1]


def test_brier_and_readers_are_those_of_the_rows_of_test(finished: Path, metrics: Any) -> None:
    tests = [rows_of_test(finished, "main", fold) for fold in (0, 1)]
    brier = np.mean([((t["score"] - t["label"]) ** 2).mean() for t in tests])
    assert metrics["variants"]["main"]["brier"]["mean"] == pytest.approx(brier, abs=1e-5)
    read = pd.concat(tests).dropna(subset="reader_one")
    reader = metrics["readers"]["one"]
    assert reader["n"] == len(read) == 216
    area = roc_auc_score(read["label"], read["reader_one"])
    assert reader["auroc"]["value"] == pytest.approx(area, abs=1e-5)
    assert reader["positive_from"] == 4
    called = read["reader_one"][read["label"] == 1] >= 4
    assert reader["sensitivity"]["value"] == pytest.approx(called.mean(), abs=1e-5)
    assert reader["variants"]["main"]["p"] < 0.05


def test_comparisons_are_paired_corrected_and_only_of_what_was_run(metrics: Any) -> None:
    assert [row["second"] for row in metrics["comparisons"]] == ["base_a", "base_b"]
    for row in metrics["comparisons"]:
        areas = [metrics["variants"][row[side]]["auroc"]["mean"] for side in ("first", "second")]
        assert row["difference"] == pytest.approx(areas[0] - areas[1], abs=1e-5)
        assert row["ci95"][0] < row["difference"] < row["ci95"][1]
        assert row["p"] <= row["p_holm"] <= 2 * row["p"] + 1e-9
    assert metrics["best_of"] == {"base": "base_b"}


def test_study_with_nothing_optional(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", folds=(3,))
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps(
        {"schema": study["schema"], "title": "Bare", "folds": [3], "variants": {"main": {}}}))
    (run / "verify.json").unlink()
    path = run / "main" / "fold3" / "predictions.csv"
    table = pd.read_csv(path)
    table[[c for c in table if not c.startswith(("group_", "reader_"))]].to_csv(path, index=False)
    for extra in ("localisation.csv", "maps/a.npz", "stage/config.yaml"):
        (run / "main" / "fold3" / extra).unlink()
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["variants"]["main"]["auroc"]["sd"] is None
    assert metrics["readers"] == metrics["subgroups"] == metrics["localisation"] == {}
    assert "not run here" not in (run / "report.html").read_text()


def test_fold_with_one_class_is_left_out_and_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for variant in VARIANTS:
        edit(run / variant / "fold1" / "predictions.csv", lambda t: t["split"] == "test", "label", "0")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    area = metrics["variants"]["main"]["auroc"]
    assert area["per_fold"][1] is None
    assert area["mean"] == area["per_fold"][0]
    assert any("Fold 1" in note and "undefined" in note for note in metrics["notes"])
    assert metrics["notes"][0] in (run / "report.html").read_text()


def test_study_in_which_nothing_is_defined_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", folds=(0,))
    for variant in VARIANTS:
        edit(run / variant / "fold0" / "predictions.csv", lambda t: t["label"] == "1", "label", "0")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best_of"] == {} and metrics["comparisons"] == []
    undefined = {"mean": None, "sd": None, "per_fold": [None], "ci95": [None, None]}
    assert metrics["variants"]["main"]["auroc"] == undefined
    assert metrics["variants"]["main"]["accuracy"]["mean"] is None  # no threshold either
    page = (run / "report.html").read_text()
    assert "AUROC of Main is undefined" in page
    assert not re.search(r"[> ](nan|None)[ <]", page)
