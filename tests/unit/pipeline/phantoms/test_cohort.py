"""Writing a cohort: the same bytes for a seed, resumed after a stop, never over another."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.phantoms.breast_mri import exams as breast_mri

TINY = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (48, 48, 8), (6.4, 6.4, 15.0))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return breast_mri.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, exams=4, seed=5, workers=1,
                                   progress=False)


def test_same_seed_same_bytes_whatever_the_workers(written, tmp_path):
    again = breast_mri.write_cohort(tmp_path / "b", TINY, exams=4, seed=5, workers=2, progress=False)
    assert contents(again) == contents(written)
    other = breast_mri.write_cohort(tmp_path / "c", TINY, exams=1, seed=6, workers=1, progress=False)
    for name in breast_mri.PHASES:
        path = f"exams/E0001/{name}.nii.gz"
        assert (other / path).read_bytes() != (written / path).read_bytes()


def test_a_stopped_run_goes_on(tmp_path):
    folder = breast_mri.write_cohort(tmp_path / "a", TINY, exams=2, seed=5, workers=1, progress=False)
    before = contents(folder)
    kept = folder / "exams/E0002/pre.nii.gz"
    stamp = kept.stat().st_mtime_ns
    (folder / "exams/E0001").rename(folder / "exams/.E0001.left")  # as a kill leaves it
    breast_mri.write_cohort(folder, TINY, exams=2, seed=5, workers=1, progress=False)
    assert contents(folder) == before
    assert kept.stat().st_mtime_ns == stamp


def test_another_cohort_in_the_folder_is_refused(written, tmp_path):
    before = contents(written)
    with pytest.raises(InputError, match="seed 5, not 6") as caught:
        breast_mri.write_cohort(written, TINY, exams=4, seed=6, workers=1, progress=False)
    assert "\n" not in str(caught.value) and "--output" in str(caught.value)
    with pytest.raises(InputError, match="exams 4, not 5"):
        breast_mri.write_cohort(written, TINY, exams=5, seed=5, workers=1, progress=False)
    assert contents(written) == before
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(InputError, match="not empty"):
        breast_mri.write_cohort(tmp_path, TINY, exams=1, progress=False)
    with pytest.raises(InputError, match="cannot be used"):
        breast_mri.write_cohort(tmp_path / "thesis.tex", TINY, exams=1, progress=False)


@pytest.mark.parametrize("wrong", [{"exams": 0}, {"seed": -1}, {"workers": 0}, {"preset": "huge"}])
def test_numbers_out_of_range_are_refused(wrong, tmp_path):
    with pytest.raises(InputError):
        breast_mri.write_cohort(tmp_path / "a", **{"preset": TINY, **wrong}, progress=False)
    assert not (tmp_path / "a").exists()
