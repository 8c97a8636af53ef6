"""Another cohort: its list as one that every fold tests, and exams that are none of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from applied_study import write_cohort, write_study

from pipeline.datalist import APART, load, save
from pipeline.errors import InputError
from pipeline.prepare import cases
from pipeline.study.cohort import demand_fit, for_every_fold
from pipeline.verify.command import verify


def test_every_fold_tests_every_exam_and_says_whose_folds_these_are(tmp_path) -> None:
    own = cases.load(write_study(tmp_path / "run") / "prepared")
    save(for_every_fold(load(write_cohort(tmp_path)), own), tmp_path / "deep.json")
    listed = load(tmp_path / "deep.json")
    assert [listed.splits(exam) for exam in listed.exams] == [["test"] * 3] * 4
    assert listed.folds[APART] == cases.assignment(own, "breasts")
    assert cases.assignment({"folds": listed.folds, "breasts": []}, "breasts") == cases.assignment(own, "breasts")
    assert listed.path(listed.exams[0], "pre") == tmp_path / "other/E0/pre"
    assert not [issue for issue in verify(listed, contrasts=[]) if "fold" in issue.code]


def fit(run: Path, cohort: Path) -> None:
    demand_fit(load(cohort), run, cases.load(run / "prepared"), "b")


def training_list(folder: Path) -> Path:
    """The study's own exam among others."""
    cohort = write_cohort(folder, "twin")
    (folder / "twin/E2/post1").write_text("E3 post1 of the study")
    return cohort


@pytest.mark.parametrize(("cohort", "message"), [
    (lambda f: write_cohort(f, contrasts=("pre",)), "exam E0: has no post1, which b was trained with"),
    (lambda f: write_cohort(f, modality="MG"), "other: its images are MG, b takes MR"),
    (training_list, "exam E2: has an image of the study's own exam E3; a cohort is external without"),
    (lambda f: write_cohort(f, text="of the study"), "exam E0: .* own exam E0, and 3 more are such"),
])
def test_exams_that_do_not_fit_are_named(tmp_path, cohort, message) -> None:
    with pytest.raises(InputError, match=message):
        fit(write_study(tmp_path / "run"), cohort(tmp_path))


def test_masks_are_neither_asked_for_nor_compared(tmp_path) -> None:
    """Masks without a lesion are one and the same file."""
    run = write_study(tmp_path / "run", ("pre", "lesions_mask"))
    fit(run, write_cohort(tmp_path, contrasts=("pre",)))
    cohort = write_cohort(tmp_path, "masked", ("pre", "lesions_mask"))
    (tmp_path / "masked/E1/lesions_mask").write_text("E1 lesions_mask of the study")
    fit(run, cohort)


def test_a_study_that_has_lost_its_records_is_refused(tmp_path) -> None:
    run, cohort = write_study(tmp_path / "run"), write_cohort(tmp_path)
    (run / "prepared/records/E1.json").write_text("{}")
    with pytest.raises(InputError, match=r"prepared/records/E1\.json: damaged"):
        fit(run, cohort)
    for record in (run / "prepared/records").iterdir():
        record.unlink()
    with pytest.raises(InputError, match="prepared/records is empty"):
        fit(run, cohort)
