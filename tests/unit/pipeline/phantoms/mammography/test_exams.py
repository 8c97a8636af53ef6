"""The synthetic mammograms: the same for a seed, true in their geometry, no tell-tale grey values, honest readers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from data_lists.__main__ import main as convert
from pipeline.__main__ import main
from pipeline.datalist import load
from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.exams import IMAGES, Preset

DEMO = mammography.PRESETS["demo"]


TINY = Preset((86, 70), 2.7, 12, DEMO.diameters, {**DEMO.shares, "dicom": 0.5})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mammography.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, seed=5, workers=1, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


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
