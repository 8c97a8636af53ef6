"""A cohort so small that every test can have its own: noise as MRI exams, in which nothing is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from pipeline.datalist import Datalist, Exam, Lesion, load, save
from pipeline.folds import assign_folds

SHAPE = (64, 64, 8)
# Like a scanner's axial series, the first axis runs to the patient's left, so that x does not grow with the
# index. 5 mm x 5 mm x 10 mm, the middle of the image at x = 0.
AFFINE = np.array([[-5.0, 0, 0, 157.5], [0, 5.0, 0, -100.0], [0, 0, 10.0, -35.0], [0, 0, 0, 1]])
CONTRASTS = ("pre", "post1", "t2")


def made_once(factory: pytest.TempPathFactory, name: str, write: Callable[[Path], Any]) -> Path:
    """A folder that `write` fills once for all processes of a run, and that tests read only."""
    shared = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    folder, done = shared / name, shared / f".{name}.done"
    with FileLock(shared / f".{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # another process failed in it
            write(folder)
            done.touch()
    return folder


@dataclass
class Cohort:
    """A cohort on disk: its folder, and the path of its datalist."""

    folder: Path
    list: Path

    def load(self) -> Datalist:
        """The datalist as it is on disk."""
        return load(self.list)

    def save(self, datalist: Datalist) -> None:
        """Replace the datalist."""
        save(datalist, self.list)

    def path(self, number: int = 0, contrast: str = "") -> Path:
        """The file of one contrast (by default the first image) of the exam of that number."""
        datalist = self.load()
        exam = datalist.exams[number]
        return datalist.path(exam, contrast or next(iter(exam.images)))

    def rewrite(self, number: int, contrast: str, change: Callable[[np.ndarray, np.ndarray], Any]) -> None:
        """Replace an image; `change(array, affine)` alters them in place, or returns another array."""
        path = self.path(number, contrast)
        image = nib.load(path)
        array, affine = np.asanyarray(image.dataobj).copy(), image.affine.copy()
        changed = change(array, affine)
        write_image(path, array if changed is None else changed, affine)


def write_image(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


def write_cohort(
    folder: Path, exams: int = 12, contrasts: tuple[str, ...] = CONTRASTS, folds: int = 3, seed: int = 0
) -> Cohort:
    """Write noise as exams, with labels, lesion centres and folds in which nothing is wrong.

    Every second exam has one malignant breast with a marked centre, alternating sides; every fourth a benign
    one. Each patient has one exam. Ids are E0000 … and SECRET0000 …, to be searched for in what is printed.
    """
    random = np.random.default_rng(seed)
    listed = []
    for i in range(exams):
        exam = Exam(f"E{i:04d}", f"SECRET{i:04d}", {}, {})
        for contrast in contrasts:
            exam.images[contrast] = f"{exam.exam_id}/{contrast}.nii.gz"
            write_image(folder / exam.images[contrast], random.integers(0, 1000, SHAPE, dtype=np.int16))
        side, other = ("L", "R") if i % 4 == 0 else ("R", "L")
        malignant, benign = int(i % 2 == 0), int(i % 4 == 1)
        exam.breasts = {side: {"malignant": malignant, "benign": benign},
                        other: {"malignant": 0, "benign": 0}}
        if malignant:
            # RAS: the right breast lies at x > 0.
            exam.lesions = [Lesion(side, (-60.0 if side == "L" else 60.0, 20.0, 5.0), 1, "1")]
        listed.append(exam)
    cohort = Cohort(folder, folder / "list.json")
    datalist = Datalist("tiny", "MR", folder, listed)
    datalist.folds = assign_folds(listed, folds, seed)
    cohort.save(datalist)
    return cohort


@pytest.fixture
def make_cohort() -> Callable[..., Cohort]:
    """`write_cohort`, for tests that need another number of exams or other contrasts."""
    return write_cohort


@pytest.fixture(scope="session")
def _written_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "tiny", write_cohort)


@pytest.fixture
def tiny_cohort(_written_cohort: Path, tmp_path: Path) -> Cohort:
    """A healthy cohort of 12 exams in a folder of this test's own, free to be damaged."""
    folder = tmp_path / "cohort"
    shutil.copytree(_written_cohort, folder)
    return Cohort(folder, folder / "list.json")
