"""The synthetic mammograms: the same for a seed, true in their geometry, no tell-tale grey values, honest readers."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from data_lists.__main__ import main as convert
from pipeline.__main__ import main
from pipeline.datalist import load
from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.exams import IMAGES, VIEWS, Preset, boxes_of, make_exam, wall
from pipeline.phantoms.mammography.specs import ExamSpec, draw_cohort
from transforms.mammography.reading import read_mammogram, wall_edge

DEMO = mammography.PRESETS["demo"]
TINY = Preset((86, 70), 2.7, 12, DEMO.diameters, {**DEMO.shares, "dicom": 0.5})
QUANTILES = (1, 25, 50, 75, 95, 99)
HALF = Preset((128, 104), 1.82, 30, DEMO.diameters)


@pytest.fixture(scope="module")
def large() -> list[ExamSpec]:
    return draw_cohort(1000, DEMO.shares, DEMO.diameters, seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mammography.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, seed=5, workers=1, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def without_findings(spec: ExamSpec) -> ExamSpec:
    left, right = (replace(breast, findings=()) for breast in spec.breasts)
    return replace(spec, breasts=(left, right))


def test_same_seed_same_bytes(written: Path, tmp_path: Path) -> None:
    again = mammography.write_cohort(tmp_path / "b", TINY, seed=5, workers=2, progress=False)
    assert contents(again) == contents(written)
    other = mammography.write_cohort(tmp_path / "c", TINY, exams=1, seed=6, workers=1, progress=False)
    assert contents(other)["exams.csv"] != contents(written)["exams.csv"]


def test_the_command_and_its_datalist(tmp_path: Path) -> None:
    assert main(["phantom", "mammography", "-o", str(tmp_path / "c"), "--exams", "8", "--workers", "1"]) == 0
    table = rows(tmp_path / "c" / "exams.csv")
    assert convert(["csv", str(tmp_path / "c" / "exams.csv"), "--modality", "MG", "-o", str(tmp_path / "list.json"),
                    "--folds", "2"]) == 0
    datalist = load(tmp_path / "list.json")
    assert datalist.modality == "MG" and len(datalist.exams) == 8
    for exam, row in zip(datalist.exams, table, strict=True):
        assert tuple(exam.images) == IMAGES and not exam.lesions
        assert exam.groups == {"detection": row["group_detection"], "density": row["group_density"]}
        assert exam.breasts["L"] == {"malignant": int(row["left_malignant"]), "benign": int(row["left_benign"])}
        assert exam.readers["reader2"]["R"] == float(row["reader2_right"])


def test_files_read_back_in_one_orientation(written: Path) -> None:
    specs = {spec.exam_id: spec for spec in draw_cohort(12, TINY.shares, TINY.diameters, seed=5)}
    kinds = {(spec.stored, spec.mirrored) for spec in specs.values()}
    assert {stored for stored, _ in kinds} == {"png", "MONOCHROME1", "MONOCHROME2"} and len(kinds) > 3
    for row in rows(written / "exams.csv"):
        spec = specs[row["exam_id"]]
        for name, stored in make_exam(spec, TINY).items():
            read = read_mammogram(written / row[name], name)  # refuses a side or wall that contradicts the header
            expected = stored if wall(spec, name[0]) == "left" else stored[:, ::-1]
            assert wall_edge(expected) == "left" and read.flipped == (wall(spec, name[0]) == "right")
            darkest = expected[expected > 0].min() if spec.stored != "png" else 0  # tissue above padding
            assert np.array_equal(read.pixels, np.clip(expected.astype(np.float32) - darkest, 0, None))
            assert read.spacing_mm == (None if spec.stored == "png" else (2.7, 2.7))


def test_findings_lie_in_their_boxes_at_one_depth() -> None:
    seen = 0
    for spec in draw_cohort(HALF.exams, HALF.shares, HALF.diameters, seed=1):
        boxes = boxes_of(spec, HALF)
        if not boxes:
            continue
        images, healthy = make_exam(spec, HALF), make_exam(without_findings(spec), HALF)
        for name in IMAGES:
            change = np.abs(images[name].astype(int) - healthy[name])
            inside = np.zeros(change.shape, bool)
            for box in (b for b in boxes if b.view == name):
                where = np.s_[box.row_min : box.row_max, box.col_min : box.col_max]
                inside[where] = True
                assert change[where].max() > 100 or spec.detection == "interval"
                seen += 1
            assert change[~inside].sum() <= 0.05 * change.sum()
        for box in boxes:
            other = next(b for b in boxes if b.lesion_id == box.lesion_id and b.view != box.view)
            assert box.view[0] == other.view[0] and box.malignant == other.malignant
            assert abs(box.col_min + box.col_max - other.col_min - other.col_max) * HALF.spacing / 2 < 8  # mm
    assert seen > 20


def test_grey_values_alone_tell_nothing() -> None:
    """Neither mean, spread, percentiles nor the breast's area find the malignant breasts."""
    values, labels = [], []
    for spec in draw_cohort(DEMO.exams, DEMO.shares, DEMO.diameters):
        if spec.detection == "negative":  # the other breasts of the patients with cancer are controls enough
            continue
        images = make_exam(spec, DEMO)
        for breast in spec.breasts:
            tissue = np.concatenate([(image := images[f"{breast.side}-{view}"])[image > 0] for view in VIEWS])
            values.append([tissue.mean(), tissue.std(), tissue.size, *np.percentile(tissue, QUANTILES)])
            labels.append(breast.malignant)
    for statistic in np.array(values).T:
        area = roc_auc_score(labels, statistic)
        assert max(area, 1 - area) <= 0.65


def test_shares_and_labels(large: list[ExamSpec]) -> None:
    kinds = [spec.detection for spec in large]
    assert [kinds.count(kind) for kind in ("screen", "interval")] == [300, 70]
    for spec, later in itertools.pairwise(large):
        ill = [breast for breast in spec.breasts if breast.malignant]
        assert len(ill) == (spec.detection != "negative")
        shown = [any(f.malignant for f in breast.findings) for breast in ill]
        assert spec.detection != "screen" or shown == [True]
        if spec.patient_id == later.patient_id:
            assert spec.detection == "negative" and spec.density == later.density
    hidden = [s for s in large if s.detection == "interval" and not any(f.malignant for b in s.breasts
                                                                      for f in b.findings)]
    assert 30 <= len(hidden) <= 55  # 60 % of 70


def test_readers(large: list[ExamSpec]) -> None:
    """They find what the screening finds, miss interval cancers, err alike, and differ."""
    detection = np.array([spec.detection for spec in large for _ in spec.breasts])
    malignant = np.array([breast.malignant for spec in large for breast in spec.breasts])
    scores = np.array([breast.scores for spec in large for breast in spec.breasts])
    screening = detection != "interval"
    for reader in scores.T:
        assert 0.9 < roc_auc_score(malignant[screening], reader[screening]) < 0.99
        assert roc_auc_score(malignant, reader) < 0.93
    assert scores.min() == 1 and scores.max() == 5
    assert (scores[(detection == "interval") & (malignant == 1)] <= 2).mean() > 0.8
    assert 0.25 < np.corrcoef(scores[malignant == 0].T)[0, 1] < 0.7
