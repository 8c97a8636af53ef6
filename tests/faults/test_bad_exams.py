"""Exams that cannot be used, as a user hands them to `inference.yaml`: one line that names the file and the remedy."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.breast_mri import answer_exams as exams
from pipeline.errors import InputError
from pipeline.verify.gate import CheckExamd
from transforms import KineticChannels, LoadBreasts, LoadBreastsd

CHANNELS = ["pre", "post1", "post2", "t2"]


def load(exam: Path) -> list[str]:
    """As inference does: find the exams, load each, and pass through the gate; returns the notes."""
    read, gate = LoadBreastsd("image", CHANNELS, (64, 64, 8), 32), CheckExamd("image", "MR")
    return [note for found in exams.find(exam, CHANNELS) for note in gate(read(found))["notes"].splitlines()]


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
    assert load(exam) == []
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


def patched(contrasts: str, at: int, form: str, *values: float) -> Callable[[Path], None]:
    """Numbers written into the NIfTI header of some contrasts."""
    def damage(exam: Path) -> None:
        for contrast in contrasts.split():
            path = exam / f"{contrast}.nii.gz"
            content = bytearray(gzip.decompress(path.read_bytes()))
            struct.pack_into(form, content, at, *values)
            path.write_bytes(gzip.compress(content, 1))
    return damage


def nifti2(*shape: int) -> Callable[[Path], None]:
    """A NIfTI-2 header whose product of dimensions overflows 64 bits."""
    def damage(exam: Path) -> None:
        image = nib.load(exam / "post1.nii.gz")
        nib.save(nib.Nifti2Image(np.asanyarray(image.dataobj), image.affine), exam / "post1.nii.gz")
        patched("post1", 16, "<4q", 3, *shape)(exam)
    return damage


def bomb(exam: Path) -> None:
    """Half a GB of zeros behind the voxels."""
    with gzip.open(exam / "post1.nii.gz", "ab", 1) as file:
        for _ in range(16):
            file.write(bytes(1 << 25))


def each(change: Callable[[np.ndarray, np.ndarray], np.ndarray | None]) -> Callable[[Path], None]:
    return lambda exam: [rewrite(path, change) for path in sorted(exam.glob("*.nii.gz"))] and None


ALL = " ".join(CHANNELS)
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
    "a folder in its place": (lambda e: (e / "post1.nii.gz").unlink() or (e / "post1.nii.gz").mkdir(),
                              r"post1\.nii\.gz: holds no DICOM image; give the folder"),
    "T2 far away": (lambda e: rewrite(e / "t2.nii.gz", shift(500)), r"t2\.nii\.gz: only 0% of pre lie inside it"),
    "neither qform nor sform": (patched(ALL, 252, "<2h", 0, 0), r"pre\.nii\.gz: its header does not say how it lies"),
    "one slice": (each(lambda a, m: a[:, :, :1]), r"pre\.nii\.gz: shape .* but one volume \(3D\) expected"),
    "one voxel of 3e38": (lambda e: rewrite(e / "post1.nii.gz", put(3e38)), r"post1\.nii\.gz: a voxel is .* as large"),
    "one voxel of 3e38 before contrast": (lambda e: rewrite(e / "pre.nii.gz", put(3e38)), r"pre\.nii\.gz: a voxel is"),
    "one voxel of -1e9": (lambda e: rewrite(e / "post2.nii.gz", put(-1e9)), r"post2\.nii\.gz: a voxel is"),
    "cut off above": (lambda e: rewrite(e / "post1.nii.gz", lambda a, m: np.minimum(a, np.median(a[a > 0]))),
                      r"post1\.nii\.gz: \d+% of its voxels have the largest value"),
    "voxels begin at 0": (patched("post1", 108, "<f", 0), r"post1\.nii\.gz: its voxels begin nowhere"),
    "voxels begin at NaN": (patched("post1", 108, "<f", np.nan), r"post1\.nii\.gz: its voxels begin nowhere"),
    "voxels begin at infinity": (patched("post1", 108, "<f", np.inf), r"post1\.nii\.gz: its voxels begin nowhere"),
    "voxels begin behind the end": (patched("post1", 108, "<f", 1e9), r"post1\.nii\.gz: truncated"),
    "infinite intercept": (patched("post1", 112, "<2f", 1, np.inf), r"post1\.nii\.gz: its header scales voxels by"),
    "infinite slope": (patched("post1", 112, "<2f", np.inf, 0), r"post1\.nii\.gz: its header scales voxels by"),
    "scaled beyond all numbers": (patched("t2", 112, "<2f", 3e38, 0), r"t2\.nii\.gz: holds NaN or infinite"),
    "NaN in all affines": (patched(ALL, 280, "<f", np.nan), r"pre\.nii\.gz: its affine is not finite"),
    "NaN in T2's affine": (patched("t2", 280, "<f", np.nan), r"t2\.nii\.gz: its affine is not finite"),
    "an affine of zeros": (patched("post2", 280, "<12f", *[0] * 12), r"post2\.nii\.gz: .* cannot be inverted"),
    "a quaternion that is none": (patched("post1", 252, "<2h3f", 1, 0, 5, 5, 5), r"post1\.nii\.gz: its affine is not"),
    "no dimension": (patched("post1", 40, "<h", 0), r"post1\.nii\.gz: .*copy"),
    "a negative dimension": (patched("post1", 42, "<h", -64), r"post1\.nii\.gz: its header gives no shape"),
    "32767 voxels an axis": (patched("post1", 40, "<4h", 3, *[32767] * 3), r"post1\.nii\.gz: .*at most 2 are read"),
    "voxels of 128 bits": (patched("post1", 70, "<2h", 1536, 128), r"post1\.nii\.gz: holds no plain numeric voxels"),
    "colours": (patched("post1", 70, "<2h", 128, 24), r"post1\.nii\.gz: holds no plain numeric voxels"),
    "a product that is 0 in 64 bits": (nifti2(2**32, 2**32, 2**32), r"post1\.nii\.gz: .*GiB, at most 2 are read"),
    "a product that is 4 in 64 bits": (nifti2(2**33, 2**31, 2**62 + 1), r"post1\.nii\.gz: .*at most 2 are read"),
    "a product that is negative": (nifti2(2**21, 2**21, 2**21), r"post1\.nii\.gz: .*GiB, at most 2 are read"),
    "0.5 GB behind the voxels": (bomb, r"post1\.nii\.gz: holds more than its header says"),
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


def test_metres_are_converted_and_noted(exam) -> None:
    """The same exam in metres lies in the same place."""
    metres = exam.parent / "metres"
    shutil.copytree(exam, metres)
    each(lambda a, m: m.__setitem__(slice(0, 3), m[:3] / 1000))(metres)
    notes = load(metres)
    assert len(notes) == 4 and all("its header counts in metres; it was converted to millimetres" in n for n in notes)
    first, second = (LoadBreasts(CHANNELS, (64, 64, 8), 32)(path) for path in (exam, metres))
    np.testing.assert_allclose(first.meta["breast_affines"], second.meta["breast_affines"], rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(np.asarray(first), np.asarray(second), atol=1e-2)


def test_a_unit_that_the_steps_contradict_is_passed_over(exam) -> None:
    patched(ALL, 123, "<B", 1)(exam)  # steps of millimetres that are called metres, as some converters write
    assert load(exam) == []


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
