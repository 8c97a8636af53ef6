"""Mammograms as files: read back in one orientation."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from pipeline.phantoms.mammography import exams as mammography
from pipeline.phantoms.mammography.exams import Preset, make_exam, wall
from pipeline.phantoms.mammography.specs import draw_cohort
from transforms.mammography.reading import read_mammogram, wall_edge

DEMO = mammography.PRESETS["demo"]


TINY = Preset((86, 70), 2.7, 12, DEMO.diameters, {**DEMO.shares, "dicom": 0.5})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mammography.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, seed=5, workers=1, progress=False)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


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
