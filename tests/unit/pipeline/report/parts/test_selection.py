"""The best of several variants in the report: what its choice costs, and what choosing by validation gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from written_study import rows_of_test, write_run

from pipeline.__main__ import main


def test_the_best_of_a_group_knows_of_its_choice(finished: Path, metrics: Any, page: str) -> None:
    found, single = metrics["selection"]["base"], metrics["variants"]["base_b"]["auroc"]
    assert (found["variant"], found["of"], found["auroc"]) == ("base_b", 2, single["mean"])
    assert found["ci95"] == pytest.approx(single["ci95"], abs=1e-5)
    assert found["ci95_chosen"][0] <= found["ci95"][0] and found["ci95_chosen"][1] == found["ci95"][1]
    areas = []
    for fold, chosen in enumerate(found["nested"]["chosen"]):
        seen = {}
        for name in ("base_a", "base_b"):
            table = pd.read_csv(finished / name / f"fold{fold}" / "predictions.csv").query("split == 'validation'")
            seen[name] = roc_auc_score(table["label"], table["score"])
        assert chosen == max(seen, key=lambda name: seen[name])
        table = rows_of_test(finished, chosen, fold)
        areas.append(roc_auc_score(table["label"], table["score"]))
    assert found["nested"]["mean"] == pytest.approx(np.mean(areas), abs=1e-5)
    assert "with the choice reckoned with, the 95" in page


def test_of_a_study_that_seeks_the_best_it_is_the_best_of_all(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "comparisons": "best"}))
    assert main(["report", str(run), "--replicates", "200"]) == 0
    found = json.loads((run / "metrics.json").read_text())["selection"]["all"]
    assert (found["variant"], found["of"]) == ("main", 3)
    assert found["p"] < 0.05  # truly better, by far
