"""Synthetic cohorts of each modality, coarse enough for seconds, with their datalists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cohorts import Cohort, made_once

from data_lists.__main__ import main as convert
from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_ultrasound import exams as breast_ultrasound
from pipeline.phantoms.mammography import exams as mammography

# A synthetic breast MRI cohort, matrices for seconds on one core.
PHANTOM = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (56, 56, 8), (5.5, 5.5, 15.0))


@pytest.fixture(scope="session")
def _written_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def write(folder: Path) -> None:
        breast_mri.write_cohort(folder, PHANTOM, exams=12, seed=1, workers=1, progress=False)
        assert convert(["csv", str(folder / "exams.csv"), "--lesions", str(folder / "lesions.csv"), "--folds", "3",
                        "-o", str(folder / "list.json")]) == 0

    return made_once(tmp_path_factory, "phantom", write)


@pytest.fixture
def phantom_cohort(_written_phantom: Path, tmp_path: Path) -> Cohort:
    """Twelve synthetic breast MRI exams with three folds, in a folder of this test's own."""
    folder = tmp_path / "phantom"
    shutil.copytree(_written_phantom, folder)
    return Cohort(folder, folder / "list.json")


# Synthetic ultrasound volumes, coarse enough for a fraction of a second each; crops of 16 × 40 × 40 voxels fit.
ULTRASOUND = breast_ultrasound.Preset((64, 64, 32), (1.8, 0.7, 3.4), breast_ultrasound.Beam(0.6, (1.3, 2.4), 2.2))


@pytest.fixture(scope="session")
def ultrasound_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Thirty synthetic volumes, three folds and a held-out test. Shared: read it only."""
    def write(folder: Path) -> None:
        breast_ultrasound.write_cohort(folder, ULTRASOUND, exams=30, seed=3, workers=1, progress=False)
        assert convert(["csv", str(folder / "exams.csv"), "--lesions", str(folder / "lesions.csv"), "--modality", "US",
                        "--folds", "3", "--held-out", "0.3", "-o", str(folder / "list.json")]) == 0

    folder = made_once(tmp_path_factory, "ultrasound", write)
    return Cohort(folder, folder / "list.json")


# Screening exams on a coarse detector.
MAMMOGRAPHY = mammography.Preset((128, 104), 1.82, 20, (14.0, 24.0),
                                 {"screen": 0.4, "interval": 0.1, "benign": 0.2, "dicom": 0.25})


@pytest.fixture(scope="session")
def mammography_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Twenty synthetic screening exams of four views, two folds. Shared: read it only."""
    def write(folder: Path) -> None:
        mammography.write_cohort(folder, MAMMOGRAPHY, seed=1, workers=1, progress=False)
        assert convert(["csv", str(folder / "exams.csv"), "--modality", "MG", "--folds", "2", "-o",
                        str(folder / "list.json")]) == 0

    folder = made_once(tmp_path_factory, "mammography", write)
    return Cohort(folder, folder / "list.json")
