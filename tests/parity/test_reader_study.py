"""A public reader study, 720 exams, 14 radiologists and 7 models: AUROCs as computed of its table elsewhere."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from real_data import FOLDER, needs

from pipeline.mammography.screening import ALL_READERS, reader_scores
from pipeline.metrics import auroc

TABLE = FOLDER / "reader_study" / "results.csv"
pytestmark = needs("reader_study/results.csv")

# Of each column: AUROC of 1,440 breasts (61 malignant), and of 720 exams (60) by the larger of their breasts. From
# nyukat/mammography_metarepository 4f9b8a0, by an implementation of its own.
AREAS = {
    "Reader01_POM": (0.7256, 0.6936),
    "Reader02_POM": (0.7826, 0.7389),
    "Reader03_POM": (0.8094, 0.7717),
    "Reader04_POM": (0.8590, 0.8476),
    "Reader05_POM": (0.7045, 0.6776),
    "Reader06_POM": (0.7358, 0.6905),
    "Reader07_POM": (0.7718, 0.7624),
    "Reader08_POM": (0.7615, 0.7220),
    "Reader09_POM": (0.7920, 0.7721),
    "Reader10_POM": (0.7534, 0.7258),
    "Reader11_POM": (0.7885, 0.7570),
    "Reader12_POM": (0.8036, 0.7700),
    "Reader13_POM": (0.8598, 0.8188),
    "Reader14_POM": (0.7557, 0.7507),
    "AI_GMIC_top5_POM": (0.8812, 0.8395),
    "AI_GMIC_top1_POM": (0.8567, 0.8150),
    "AI_GLAM_POM": (0.8532, 0.7996),
    "AI_DMVCNN_POM": (0.7788, 0.7197),
    "AI_frcnn_POM": (0.7145, 0.6656),
    "AI_end2end_inbreast_POM": (0.5860, 0.5703),
    "AI_end2end_ddsm_POM": (0.4540, 0.4479),
}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(TABLE)


@pytest.fixture(scope="module")
def exams(table) -> list[tuple[int, dict[str, dict[str, float]]]]:
    """Each exam's label, and its breasts' scores by column."""
    return [(int(breasts["label"].max()), breasts.set_index("side")[list(AREAS)].astype(float).to_dict())
            for _, breasts in table.groupby("case_ID", sort=False)]


def exam_area(exams, columns: tuple[str, ...]) -> float:
    """By `reader_scores`: one column, or two as readers whose scores of a breast are added up."""
    wanted = columns[0] if len(columns) == 1 else ALL_READERS
    label = [label for label, _ in exams]
    assert (len(label), sum(label)) == (720, 60)
    return auroc(label, [reader_scores({c: given[c] for c in columns})[wanted] for _, given in exams])


@pytest.mark.parametrize("column", AREAS)
def test_areas_of_breasts_and_exams(table, exams, column) -> None:
    breast, exam = AREAS[column]
    assert auroc(table["label"], table[column]) == pytest.approx(breast, abs=5.1e-5)
    assert exam_area(exams, (column,)) == pytest.approx(exam, abs=5.1e-5)


def test_means_of_readers_and_of_pairs(table, exams) -> None:
    readers = [column for column in AREAS if column.startswith("Reader")]
    assert np.mean([auroc(table["label"], table[c]) for c in readers]) == pytest.approx(0.7788, abs=5.1e-5)
    assert np.mean([exam_area(exams, (c,)) for c in readers]) == pytest.approx(0.7499, abs=5.1e-5)
    pairs = list(combinations(readers, 2))
    assert len(pairs) == 91
    assert np.mean([exam_area(exams, pair) for pair in pairs]) == pytest.approx(0.7960, abs=1e-4)
