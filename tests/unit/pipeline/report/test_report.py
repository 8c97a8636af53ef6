"""The report of a study made up here: its numbers, what it keeps to itself, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipeline.__main__ import main
from pipeline.report.page import count_text, duration, number, p_text, plus_minus
from pipeline.report.redact import redactor

VARIANTS = {"main": 2.0, "base_a": 0.1, "base_b": 0.8}  # how far the classes lie apart
PATIENTS = 60
PRIVATE = "/archive/SECRETHOSPITAL/x"


def write_run(folder: Path, folds: tuple[int, ...] = (0, 1)) -> Path:
    """A study of three variants; every patient has two breasts and a name that must not appear anywhere."""
    random = np.random.default_rng(0)
    for fold in folds:
        rows = [{"exam_id": f"E{fold}{split[0]}{i:03d}", "patient_id": f"SECRET{fold}{split[0]}{i}",
                 "side": side, "fold": fold, "split": split, "label": int(random.random() < 0.3),
                 "group_density": "abcd"[i % 4], "group_age": str(40 + i % 30),
                 "reader_one": "" if i % 10 == 0 else str(random.integers(1, 6))}
                for split in ("validation", "test") for i in range(PATIENTS) for side in "LR"]
        table = pd.DataFrame(rows)
        for variant, shift in VARIANTS.items():
            logit = shift * (table["label"] - 0.5) + random.normal(size=len(table))
            run = folder / variant / f"fold{fold}"
            (run / "stage").mkdir(parents=True)
            score = (1 / (1 + np.exp(-logit))).round(4)
            table.assign(score=score).to_csv(run / "predictions.csv", index=False)
            (run / "stage" / "config.yaml").write_text(
                f"output_dir: {run}\ndataset_dir: {PRIVATE}\nweights: \"$@ckpt_dir + '/model.pt'\"\n")
        malignant = table.loc[(table["split"] == "test") & (table["label"] == 1), ["exam_id", "side"]]
        peaks = malignant.assign(hit=[1] * 5 + [0] * (len(malignant) - 5), distance_mm=7.5, chance=0.043)
        peaks.to_csv(folder / "main" / f"fold{fold}" / "localisation.csv", index=False)
        write_map(folder / "main" / f"fold{fold}" / "maps" / "a.npz", label=fold, exam_id=f"E{fold}t001")
    study = {
        "schema": "breast-bundles/study/1", "title": "A <study> & more", "bundle": "b", "preset": "demo",
        "unit": "breast", "dataset": {"name": "phantom", "exams": 240, "synthetic": True},
        "folds": list(folds), "fold_count": 5,
        "variants": {
            "main": {"label": "Main", "paper": {"auroc": [0.89, 0.01]}, "parameters": 2658170,
                     "steps": {"stage": 300}},
            "base_a": {"label": "Base a", "best_of": "base"},
            "base_b": {"label": "Base b", "best_of": "base"}},
        "paper_rows": [{"label": "Radiologist", "auroc": [0.93, None]}],
        "comparisons": [["main", "base_a"], ["main", "base_b"], ["main", "never_run"]],
        "environment": {"python": "3.11"}, "seconds": {"main/fold0/stage": 31.2, "main/fold1/stage": 28.8},
        "commands": [f"python -m monai.bundle run --dataset_dir {PRIVATE} --output_dir {folder}/main"],
    }
    (folder / "study.json").write_text(json.dumps(study))
    (folder / "verify.json").write_text(json.dumps({"errors": 0, "warnings": 3, "issues": [PRIVATE]}))
    return folder


def write_map(path: Path, **change: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {"image": np.full((6, 8), 0.5, np.float32), "heat": np.eye(6, 8, dtype=np.float32),
               "points": np.array([[2.0, 3.0]], np.float32), "point_malignant": np.array([1]), "label": 1,
               "score": 0.7, "exam_id": "E", "side": "L"}
    np.savez(path, **{**content, **change})


def rows_of_test(run: Path, variant: str, fold: int) -> pd.DataFrame:
    return pd.read_csv(run / variant / f"fold{fold}" / "predictions.csv").query("split == 'test'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("study") / "run")
    assert main(["report", str(run), "--replicates", "300"]) == 0
    return run


@pytest.fixture
def metrics(finished: Path) -> Any:
    return json.loads((finished / "metrics.json").read_text())


@pytest.fixture
def page(finished: Path) -> str:
    return (finished / "report.html").read_text()


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


def test_thresholds_come_from_validation_alone(finished: Path, metrics: Any) -> None:
    found = metrics["variants"]["main"]
    for fold, threshold in enumerate(found["threshold"]):
        table = pd.read_csv(finished / "main" / f"fold{fold}" / "predictions.csv")
        validation, test = table.query("split == 'validation'"), table.query("split == 'test'")
        positive, negative = (validation["score"][validation["label"] == c] for c in (1, 0))
        gains = {t: (positive >= t).mean() + (negative < t).mean() for t in validation["score"]}
        assert gains[threshold] == pytest.approx(max(gains.values()))
        called = test["score"] >= threshold
        expected = {"accuracy": called == test["label"], "sensitivity": called[test["label"] == 1],
                    "accuracy_at_0.5": (test["score"] >= 0.5) == test["label"]}
        for name, right in expected.items():
            assert found[name]["per_fold"][fold] == pytest.approx(right.mean(), abs=1e-5)


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


def test_subgroups_and_localisation(metrics: Any) -> None:
    assert list(metrics["subgroups"]["density"]) == ["a", "b", "c", "d"]
    assert sum(s["n"] for s in metrics["subgroups"]["density"].values()) == 4 * PATIENTS
    ages = list(metrics["subgroups"]["age"])
    assert len(ages) == 4
    assert ages[0].startswith("below") and ages[-1].endswith("and above")
    found = metrics["localisation"]["main"]
    assert found["hits"] == 10
    assert found["n"] == metrics["variants"]["main"]["malignant"]
    assert (found["median_distance_mm"], found["chance"]) == (7.5, 0.043)


def test_page_shows_the_numbers_of_metrics_json(metrics: Any, page: str) -> None:
    for entry in metrics["variants"].values():
        assert plus_minus(entry["auroc"]) in page
        assert plus_minus(entry["accuracy"]) in page
    assert number(metrics["comparisons"][0]["difference"]) in page
    for text in ("A &lt;study&gt; &amp; more", "2 of 5 folds", "synthetic", "Not comparable to the paper",
                 "not run here", "0.89 ± 0.01", "0 errors, 3 warnings", "E1t001 L", "Youden"):
        assert text in page


def test_neither_patients_nor_places_are_told(finished: Path, page: str) -> None:
    for text in (page, (finished / "metrics.json").read_text()):
        assert "SECRET" not in text
        for place in (str(finished), str(finished.resolve()), str(Path.cwd()), str(Path.home()), "/archive"):
            assert place not in text
    assert "--output_dir RUN/main" in page
    assert "+ &#39;/model.pt&#39;" in page  # a join in an expression is no place


class Collector(HTMLParser):
    """Notes what a page would fetch, which tags are left open, ids, and pictures without a description."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.undescribed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.fetched += [values[key] for key in ("src", "href", "xlink:href") if key in values]
        self.ids += [values["id"]] if "id" in values else []
        if (tag == "img" and not values.get("alt")) or (tag == "svg" and not values.get("aria-label")):
            self.undescribed.append(tag)
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open = self.open[:-1] if tag not in ("meta", "img", "br", "link") else self.open

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_self_contained_well_formed_and_described(page: str) -> None:
    collector = Collector()
    collector.feed(page)
    assert all(target.startswith(("#", "data:image/png")) for target in collector.fetched)
    assert all(target[1:] in collector.ids for target in collector.fetched if target.startswith("#"))
    assert len(collector.ids) == len(set(collector.ids))
    assert not collector.open
    assert not collector.undescribed
    assert not re.search(r"@import|<script|https?://(?!www\.w3\.org)", page)


def test_terminal_shows_an_aligned_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"report: {run / 'report.html'}"
    assert lines[1].startswith("Main ") and "0.89 ± 0.01" in lines[1]
    assert lines[1].index("0.") == lines[2].index("0.") == lines[0].index("AUROC")
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    written = []
    for _ in range(2):
        assert main(["report", str(run), "--replicates", "100"]) == 0
        written.append([(run / name).read_bytes() for name in ("metrics.json", "report.html")])
    assert written[0] == written[1]


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


def edit(path: Path, rows: Callable[[pd.DataFrame], Any], column: str, value: str) -> None:
    """Set a column's value in some rows of a table that is otherwise left as it is."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[rows(table), column] = value
    table.to_csv(path, index=False)


def last_row(table: pd.DataFrame) -> int:
    return int(table.index[-1])


def in_table(column: str, value: str, table: str = "main/fold0") -> Callable[[Path], None]:
    """A fault: another value in the last row of a table, a test row."""
    return lambda run: edit(run / table / "predictions.csv", last_row, column, value)


def other_hits(run: Path) -> None:
    (run / "main/fold0/localisation.csv").write_text("exam_id,side,hit\nE,L,2\n")


def patient_in_two_folds(run: Path) -> None:
    for variant in VARIANTS:
        in_table("patient_id", "SECRET0t1", f"{variant}/fold1")(run)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {  # what is done, and what the message must name
    "no study": (lambda run: (run / "study.json").unlink(), "study.json"),
    "not a study": (lambda run: (run / "study.json").write_text("{}"), "study.json"),
    "missing fold": (lambda run: (run / "base_a/fold1/predictions.csv").unlink(), "base_a/fold1"),
    "empty table": (lambda run: (run / "main/fold0/predictions.csv").write_text(""), "fold0/predictions.csv"),
    "NaN score": (in_table("score", "nan"), "E0t059"),
    "score of 1.2": (in_table("score", "1.2"), "E0t059"),
    "label of 2": (in_table("label", "2"), "E0t059"),
    "no label": (in_table("label", ""), "E0t059"),
    "split": (in_table("split", "train"), "E0t059"),
    "fold": (in_table("fold", "4"), "E0t059"),
    "reader": (in_table("reader_one", "x"), "reader_one"),
    "duplicate": (in_table("side", "L"), "twice"),
    "leak": (in_table("patient_id", "SECRET0v1"), "E0t059"),
    "two folds": (patient_in_two_folds, "E1t059"),
    "other breasts": (in_table("exam_id", "E9", "base_b/fold0"), "base_b/fold0"),
    "damaged map": (lambda run: (run / "main/fold0/maps/a.npz").write_bytes(b"PK\x03\x04"), "a.npz"),
    "two planes": (lambda run: write_map(run / "main/fold0/maps/a.npz", heat=np.zeros((3, 3))), "a.npz"),
    "hit of 2": (other_hits, "localisation.csv"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_in_one_line(fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    damage, named = FAULTS[fault]
    damage(run)
    assert main(["report", str(run), "--replicates", "100"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert "python -m pipeline study" in line  # the remedy
    assert "SECRET" not in line
    assert not (run / "report.html").exists() and not (run / "metrics.json").exists()


def test_missing_column_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    path = run / "main" / "fold0" / "predictions.csv"
    pd.read_csv(path).drop(columns=["score", "side"]).to_csv(path, index=False)
    assert main(["report", str(run)]) == 2
    assert "column side, score is missing" in capsys.readouterr().err


def test_redaction() -> None:
    redact = redactor(Path("runs/demo"))
    here = Path.cwd()
    assert redact(f"--out {here}/runs/demo/prepared") == "--out RUN/prepared"
    assert redact("--out runs/demo --x runs/demo2") == "--out RUN --x runs/demo2"
    assert redact(f"{here}/bundles/x/configs") == "bundles/x/configs"
    assert redact(f"{here}2/a") == "…/a"
    assert redact("['/data/site/list.json', '/data/b/']") == "['…/list.json', '…']"
    assert redact(r"C:\Users\ann\list.json") == "…/list.json"
    for kept in ("1/2", "https://example.org/a/b", "$@ckpt_dir + '/a/b.pt'", "bundles/x/configs", "a // b"):
        assert redact(kept) == kept


def test_how_numbers_are_written() -> None:
    assert number(-0.1234) == "−0.123"
    assert number(None) == "–"
    assert plus_minus([0.89, 0.01], 2) == "0.89 ± 0.01"
    assert plus_minus([0.93, None], 2) == "0.93"
    assert plus_minus([0.93], 2) == "0.93"
    assert p_text(0.0009995) == "< 0.001"
    assert p_text(0.0415) == "0.042"
    assert count_text(2658170) == "2\u202f658\u202f170"
    assert [duration(s) for s in (31.2, 600, 7200)] == ["31 s", "10 min", "2.0 h"]


def test_a_study_of_many_is_ranked_and_its_best_tested_against_the_next(tmp_path) -> None:
    run = write_run(tmp_path / "run")
    study = json.loads((run / "study.json").read_text())
    study["comparisons"] = "best"
    study["variants"] = {name: study["variants"][name] for name in ("base_a", "main", "base_b")}
    (run / "study.json").write_text(json.dumps(study))
    fold = run / "base_a" / "fold0"
    np.savez(fold / "contrasts.npz", patch=np.random.default_rng(0).random((2, 8, 8)), names=np.array(["pre", "sub"]))
    (fold / "curves.csv").write_text("exam_id,lesion_id,label,pre,post1,post2,post3,post4\nE,1,1,1,2,2,2,2\n"
                                     "E,2,0,1,1,1,1,1.5\n")
    assert main(["report", str(run), "--replicates", "100"]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(metrics["variants"]) == ["main", "base_b", "base_a"]  # how far their classes lie apart
    assert [(c["first"], c["second"]) for c in metrics["comparisons"]] == [("main", "base_b")]
    page = (run / "report.html").read_text()
    figure = page[page.index('id="ranking"') : page.index('id="roc"')]
    assert figure.index("Main") < figure.index("Base b") < figure.index("Base a")
    lesions = page[page.index('id="lesions"') : page.index('id="roc"')]
    assert lesions.count("data:image/png") == 2 and "malignant (1)" in lesions and "benign (1)" in lesions
