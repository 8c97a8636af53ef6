"""Exams that cannot be used, as a user hands them to `inference.yaml`: one line that names the file and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.breast_mri import answer_exams as exams
from pipeline.errors import InputError
from transforms import KineticChannels, LoadBreasts

CHANNELS = ["pre", "post1", "post2", "t2"]


def load(exam: Path) -> None:
    """As inference does: find the exams, then load each."""
    transform = LoadBreasts(CHANNELS, (64, 64, 8), 32)
    for found in exams.find(exam, CHANNELS):
        transform(found["image"])


def rewrite(path: Path, change: Callable[[np.ndarray, np.ndarray], np.ndarray | None]) -> None:
    """Replace an image; `change(array, affine)` alters them in place, or returns another array."""
    image = nib.load(path)
    array, affine = np.asanyarray(image.dataobj).astype(np.float32), image.affine.copy()
    changed = change(array, affine)
    nib.save(nib.Nifti1Image(array if changed is None else changed, affine), path)


def into_4d(exam: Path, contrasts: list[str]) -> Path:
    """One 4D file of these contrasts, all on the grid of the first."""
    images = [nib.load(exam / f"{contrast}.nii.gz") for contrast in contrasts]
    path = exam.parent / "whole.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([np.asanyarray(i.dataobj) for i in images], -1), images[0].affine), path)
    return path


@pytest.fixture
def exam(phantom_cohort) -> Path:
    folder = phantom_cohort.path(0).parent
    (folder / "lesions_mask.nii.gz").unlink()
    return folder


def test_a_sound_exam_passes(exam) -> None:
    load(exam)
    load(exam.parent)  # a folder of exams
    load(into_4d(exam, ["pre", "post1", "post2", "post3"]))


def put(value: float) -> Callable[[np.ndarray, np.ndarray], None]:
    def change(array: np.ndarray, affine: np.ndarray) -> None:
        array[13, 21, 4] = value
    return change


def shift(millimetres: float) -> Callable[[np.ndarray, np.ndarray], None]:
    def change(array: np.ndarray, affine: np.ndarray) -> None:
        affine[0, 3] += millimetres
    return change


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-900])


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


FAULTS: dict[str, tuple[Callable[[Path], Path | None], str]] = {
    # name: (what is done to the exam; may return another path to give, the line)
    "a phase is missing": (lambda e: (e / "post2.nii.gz").unlink(), r"E0001: no image for post2; name the files"),
    "T2 and a phase are missing": (lambda e: [(e / f"{c}.nii.gz").unlink() for c in ("t2", "post1")] and None,
                                   r"no image for post1, t2"),
    "truncated": (lambda e: truncate(e / "post1.nii.gz"), r"post1\.nii\.gz: truncated.*copy it again"),
    "one bit flipped": (lambda e: flip_bit(e / "post1.nii.gz"), r"post1\.nii\.gz: corrupt.*copy it again"),
    "0 bytes": (lambda e: (e / "t2.nii.gz").write_bytes(b"") and None, r"t2\.nii\.gz: empty.*copy it again"),
    "one NaN": (lambda e: rewrite(e / "post2.nii.gz", put(np.nan)), r"post2\.nii\.gz: holds NaN.*export it again"),
    "one infinity in T2": (lambda e: rewrite(e / "t2.nii.gz", put(np.inf)), r"t2\.nii\.gz: holds NaN or infinite"),
    "a phase shifted": (lambda e: rewrite(e / "post1.nii.gz", shift(2.4)),
                        r"post1\.nii\.gz: its grid differs from the first phase's.*resample it or correct"),
    "a phase flipped": (lambda e: rewrite(e / "post1.nii.gz", lambda a, m: m.__setitem__((0, 0), -m[0, 0])),
                        r"post1\.nii\.gz: its grid differs"),
    "a slice less": (lambda e: rewrite(e / "post2.nii.gz", lambda a, m: a[:, :, 1:]), r"post2\.nii\.gz: its grid"),
    "constant": (lambda e: rewrite(e / "post1.nii.gz", lambda a, m: a * 0 + 5), r"post1\.nii\.gz: .*constant.*export"),
    "constant before contrast": (lambda e: rewrite(e / "pre.nii.gz", lambda a, m: a * 0), r"pre\.nii\.gz: "),
    "a 4D file for a contrast": (lambda e: rewrite(e / "t2.nii.gz", lambda a, m: np.stack([a, a], -1)),
                                 r"t2\.nii\.gz: has 4 axes, 3 expected; give one file a contrast"),
    "4D with a volume less": (lambda e: into_4d(e, ["pre", "post1", "post2"]),
                              r"whole\.nii\.gz: holds 3 volumes, 4 expected: pre, post1, post2, t2"),
    "4D with a volume more": (lambda e: into_4d(e, ["pre", "post1", "post2", "post3", "post4"]),
                              r"whole\.nii\.gz: holds 5 volumes, 4 expected"),
    "a text": (lambda e: (e / "pre.nii.gz").write_text("no image") and None, r"pre\.nii\.gz: not a NIfTI file.*copy"),
    "no such exam": (lambda e: e / "E9999", r"E9999: no such exam; give a folder"),
    "an empty folder": (lambda e: (e / "empty").mkdir() or e / "empty", r"empty: holds no image; expected pre, post1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_line_that_names_the_file_and_the_remedy(exam, name) -> None:
    damage, line = FAULTS[name]
    given = damage(exam)
    with pytest.raises(InputError, match=line) as error:
        load(given if isinstance(given, Path) else exam)
    message = str(error.value)
    assert len(message.splitlines()) == 1 and len(message) < 300
    assert str(exam.parent) not in message  # folders may be named after patients


def test_among_several_exams_the_faulty_one_is_named(exam) -> None:
    (exam.parent / "E0003" / "post1.nii.gz").unlink()
    with pytest.raises(InputError, match="E0003: no image for post1"):
        exams.find(exam.parent, CHANNELS)


@pytest.mark.parametrize(("settings", "line"), [
    ({"channels": []}, "channels .* must name each contrast once"),
    ({"channels": ["pre", "pre"]}, "channels .* must name each contrast once"),
    ({"channels": ["pre"], "matrix": (63, 64, 8)}, "matrix .*matrix.0. even"),
    ({"channels": ["pre"], "rows": 0}, "rows 0 must be positive"),
])
def test_settings_that_make_no_sense(settings, line) -> None:
    with pytest.raises(InputError, match=line):
        LoadBreasts(**settings)


def test_channels_that_were_not_prepared(exam) -> None:
    breasts = LoadBreasts(CHANNELS, (64, 64, 8), 32)(exam)
    with pytest.raises(InputError, match="has 4 channels, 2 expected: pre, post1; prepare it with the same channels"):
        KineticChannels(["pre", "post1"])(breasts)
