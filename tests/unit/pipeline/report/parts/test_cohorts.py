"""External validation in the report, worked out again with scikit-learn; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from doubly_deep_study import write_two_tasks
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve
from written_study import VARIANTS, write_run

from pipeline.__main__ import main

ABOUT = {"name": "elsewhere", "exams": 40, "patients": 20, "synthetic": False}


def write_applied(run: Path, folds: dict[str, list[int]], shifts: dict[str, float], tasks: tuple[str, ...] = ("",),
                  name: str = "other") -> Path:
    """Forty cases of twenty patients, scored by every network."""
    truth, random = np.random.default_rng(5), np.random.default_rng(6)
    base = pd.DataFrame([{"exam_id": f"X{i:02d}", "patient_id": f"SECRETX{i // 2}", "side": "L", "split": "test",
                          "label": int(truth.random() < 0.4), **({"task": task} if task else {})}
                         for task in tasks for i in range(40)])
    for variant, shift in shifts.items():
        for fold in folds[variant]:
            logit = shift * (base["label"] - 0.5) + random.normal(size=len(base))
            folder = run / "applied" / name / variant / f"fold{fold}"
            folder.mkdir(parents=True)
            base.assign(fold=fold, score=(1 / (1 + np.exp(-logit))).round(4)).to_csv(folder / "predictions.csv")
    place = run / "applied" / name
    (place / "applied.json").write_text(json.dumps({
        "schema": "breast-bundles/applied/1", "dataset": ABOUT, "folds": folds, "left_out": {"head": "is trained"},
        "patients_of_the_same_name": 3}))
    return place


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("applied") / "run")
    write_applied(run, {name: [0, 1] for name in VARIANTS}, VARIANTS)
    assert main(["report", str(run), "--replicates", "400"]) == 0
    return run


def scores(run: Path, variant: str) -> tuple[Any, list[Any]]:
    tables = [pd.read_csv(run / "applied/other" / variant / f"fold{fold}/predictions.csv") for fold in (0, 1)]
    return tables[0]["label"], [table["score"] for table in tables]


def youden(run: Path, variant: str, fold: int) -> float:
    table = pd.read_csv(run / variant / f"fold{fold}" / "predictions.csv").query("split == 'validation'")
    wrong, right, cuts = roc_curve(table["label"], table["score"], drop_intermediate=False)
    best = (right - wrong).max()
    return float(cuts[np.isclose(right - wrong, best)].min())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_case_s_score_is_the_mean_of_the_folds_and_thresholds_are_the_study_s(applied, variant) -> None:
    metrics = json.loads((applied / "metrics.json").read_text())
    found = metrics["cohorts"]["other"]["variants"][variant]
    label, (first, second) = scores(applied, variant)
    mean = (first + second) / 2
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(label, mean), abs=1e-5)
    areas = [roc_auc_score(label, each) for each in (first, second)]
    assert [found["folds"][fold]["value"] for fold in ("0", "1")] == pytest.approx(areas, abs=1e-5)
    assert found["over_folds"]["mean"] == pytest.approx(np.mean(areas), abs=1e-5)
    assert found["over_folds"]["sd"] == pytest.approx(np.std(areas, ddof=1), abs=1e-5)
    cut = np.median([youden(applied, variant, fold) for fold in (0, 1)])
    assert found["threshold"] == pytest.approx(cut, abs=1e-5)
    called = mean >= cut
    assert found["accuracy"]["value"] == pytest.approx((called == label).mean(), abs=1e-5)
    assert found["sensitivity"]["value"] == pytest.approx(called[label == 1].mean(), abs=1e-5)
    assert found["specificity"]["value"] == pytest.approx((~called)[label == 0].mean(), abs=1e-5)
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(label, mean), abs=1e-5)
    for told in (found["auroc"], found["accuracy"], *found["folds"].values()):
        assert told["ci95"][0] < told["value"] < told["ci95"][1]
    assert (found["n"], found["patients"], found["final"]) == (40, 20, None)


def test_intervals_draw_patients_not_cases(applied) -> None:
    """Two cases a patient, of one score: an interval by case would be narrower by the square root of two."""
    run = applied.parent / "twins"
    write_run(run)
    place = write_applied(run, {"main": [0, 1]}, {"main": 1.0})
    for path in place.glob("main/*/predictions.csv"):
        table = pd.read_csv(path)
        for column in ("label", "score"):
            table[column] = np.repeat(table[column].to_numpy()[::2], 2)
        table.to_csv(path, index=False)
    assert main(["report", str(run), "--replicates", "1000"]) == 0
    found = json.loads((run / "metrics.json").read_text())["cohorts"]["other"]["variants"]["main"]["specificity"]
    negatives = int(20 - pd.read_csv(path)["label"][::2].sum())
    error = np.sqrt(found["value"] * (1 - found["value"]) / negatives)
    assert (found["ci95"][1] - found["ci95"][0]) / (2 * 1.96 * error) == pytest.approx(1, abs=0.25)


def test_the_page_shows_both_figures_and_no_patient(applied) -> None:
    page = (applied / "report.html").read_text()
    metrics = json.loads((applied / "metrics.json").read_text())
    part = page[page.index('<section id="cohorts">') : page.index("</section>", page.index('<section id="cohorts">'))]
    for value in (metrics["variants"]["main"]["auroc"]["mean"],
                  metrics["cohorts"]["other"]["variants"]["main"]["auroc"]["value"]):
        assert f"{value:.3f}" in part
    for words in ("40 breasts", "of\n20 patients", "3 patients are named as patients of the study", "head is trained"):
        assert words in part
    assert "#cohorts" in page and "SECRET" not in page and "SECRET" not in (applied / "metrics.json").read_text()


def test_a_study_that_was_not_applied_has_no_such_part(metrics: Any, page: str) -> None:
    assert metrics["cohorts"] == {} and "Other cohorts" not in page


def test_tasks_are_told_one_by_one(tmp_path) -> None:
    run = write_two_tasks(tmp_path / "run")
    names = ("t2-t0", "t1")
    write_applied(run, {name: [0, 1] for name in names}, dict.fromkeys(names, 1.0), ("malignant", "benign"))
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    tables = [pd.read_csv(run / f"applied/other/t1/fold{fold}/predictions.csv").query("task == 'benign'")
              for fold in (0, 1)]
    wanted = roc_auc_score(tables[0]["label"], sum(table["score"] for table in tables))
    found = metrics["tasks"]["benign"]["cohorts"]["other"]["variants"]
    assert list(found) == ["t2-t0", "t1"]
    assert found["t1"]["auroc"]["value"] == pytest.approx(wanted, abs=1e-5)


def test_what_an_application_did_not_leave_is_refused(tmp_path, capsys) -> None:
    run = write_run(tmp_path / "run")
    place = write_applied(run, {"main": [0, 1]}, {"main": 1.0})
    table = place / "main/fold1/predictions.csv"
    table.write_text(table.read_text().replace("X01", "Y01"))
    assert main(["report", str(run), "--replicates", "100"]) == 2
    assert "fold 1 scores other rows than fold 0" in capsys.readouterr().err
    table.unlink()
    assert main(["report", str(run), "--replicates", "100"]) == 2
    assert "other/main/fold1: no predictions; run the same" in capsys.readouterr().err
    (place / "applied.json").write_text("{}")
    assert main(["report", str(run), "--replicates", "100"]) == 2
    assert "no record of an applied study" in capsys.readouterr().err and not (run / "metrics.json").exists()
