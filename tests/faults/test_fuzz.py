"""Bytes changed at random in every format that is read: an error in one line, or the same voxels, and nothing else.

Never a traceback, a reading of more than 20 s, or 2 GB; where a format has check sums, never other voxels.
`make test` changes each format a hundred times, the marker `e2e` a thousand times, with other seeds.
"""

from __future__ import annotations

import gzip
import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid
from torch import nn

from data_lists.__main__ import main as convert
from pipeline.datalist import load
from pipeline.errors import InputError
from pipeline.networks.checkpoint import load_weights
from pipeline.verify import verify
from pipeline.verify.gate import check_exam
from transforms.facts import facts_of
from transforms.load import Image as Scan
from transforms.load import read_image
from transforms.mammography.reading import read_mammogram
from transforms.read_prepared import open_prepared, to_tensor

SECONDS, KILOBYTES = 20, 2_000_000


def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 1000, (24, 20, 8), dtype=np.int16)


def mammogram() -> np.ndarray:
    """Half an ellipse at the left edge."""
    rows, columns = np.ogrid[:64, :48]
    inside = ((rows - 32) / 28) ** 2 + (columns / 36) ** 2 < 1
    return np.where(inside, 1500 + (rows * 37 + columns * 11) % 900, 0).astype(np.uint16)


def write_nifti(path: Path) -> None:
    nib.save(nib.Nifti1Image(volume(), np.diag([2.0, 2.0, 4.0, 1.0])), path)


def write_png(path: Path) -> None:
    Image.fromarray(mammogram()).save(path)


def write_dicom(path: Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.PatientID, file.Modality = generate_uid(), "P1", "MG"
    file.ImageLaterality, file.ViewPosition, file.PatientOrientation = "L", "CC", ["A", "R"]
    file.ImagerPixelSpacing, file.PresentationIntentType = [0.07, 0.07], "FOR PRESENTATION"
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 64, 48, 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.RescaleSlope, file.RescaleIntercept = "1", "0"
    file.PixelData = mammogram().tobytes()
    file.save_as(path, enforce_file_format=True)


def write_array(path: Path) -> None:
    np.save(path, np.random.default_rng(0).uniform(0, 2, (2, 8, 10, 12)).astype(np.float16))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))


def write_table(path: Path) -> None:
    rows = [f"E{i:03d},P{i:03d},E{i}/pre.nii.gz,{i % 2},0,0,{(i + 1) % 2},{'abcd'[i % 4]},{i % 5}" for i in range(12)]
    header = "exam_id,patient_id,pre,left_malignant,left_benign,right_malignant,right_benign,group_density,reader1_left"
    path.write_text("\n".join([header, *rows]) + "\n")


def write_list(path: Path) -> None:
    table = path.with_name("exams.csv")
    write_table(table)
    assert convert(["csv", str(table), "--yes", "--folds", "2", "-o", str(path)]) == 0


def read_exam(path: Path) -> np.ndarray:
    image = read_image(path)
    check_exam("MR", {"pre": facts_of(image, path.name)})
    return image.array


def read_view(path: Path) -> np.ndarray:
    found = read_mammogram(path, "L-CC")
    check_exam("MG", {"L-CC": facts_of(Scan(found.pixels.T, np.eye(4)), path.name)})
    return found.pixels


def read_table(path: Path) -> None:
    if convert(["csv", str(path), "--yes", "--folds", "2", "-o", str(path.with_name("out.json"))]):
        raise InputError("said so")
    load(path.with_name("out.json"))


@dataclass
class Format:
    """How a file is written, what is read of it, whether all of its content is under a check sum."""

    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    summed: bool = False


FORMATS = {
    "nii": Format(write_nifti, read_exam),
    "nii.gz": Format(write_nifti, read_exam, summed=True),
    "dcm": Format(write_dicom, read_view),
    "png": Format(write_png, read_view, summed=True),
    "npy": Format(write_array, lambda path: to_tensor(open_prepared(path), path).numpy()),
    "pt": Format(lambda path: torch.save(network().state_dict(), path),
                 lambda path: np.concatenate([v.float().flatten() for v in load_weights(
                     network(), path).state_dict().values()]), summed=True),
    "json": Format(write_list, lambda path: verify(load(path), quick=True) and None),
    "csv": Format(write_table, read_table),
}


def mutated(content: bytes, random: np.random.Generator) -> bytes:
    """One to eight changes: a bit or byte, a run of one value, bytes lost, doubled or moved; headers twice as often."""
    new = bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        reach = len(new) if random.random() < 0.5 else min(len(new), 512)
        at, kind, length = int(random.integers(reach)), int(random.integers(6)), int(random.integers(1, 16))
        if kind == 0:
            new[at] ^= 1 << int(random.integers(8))
        elif kind == 1:
            new[at] = int(random.integers(256))
        elif kind == 2:
            new[at : at + length] = bytes([int(random.choice([0, 1, 127, 128, 255]))]) * length
        elif kind == 3 and len(new) > 600:
            del new[at : at + length]
        elif kind == 4:
            new[at:at] = new[at : at + length]
        elif len(new) > 600 and random.random() < 0.3:
            del new[at + 300 :]
        new = new or bytearray(1)
    return bytes(new)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(name: str, folder: Path, times: int, seed: int) -> None:
    """Read a format's file, changed at random, so many times."""
    form, path = FORMATS[name], folder / f"L-CC.{name}"
    form.write(path)
    content, sound = path.read_bytes(), form.read(path)
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for number in range(times):
        path.write_bytes(mutated(content, random))
        try:
            with within(SECONDS):
                found = form.read(path)
            if form.summed and path.read_bytes() != content:
                np.testing.assert_array_equal(found, sound, err_msg=f"{name} {number}")
        except InputError as error:
            refused += 1
            line = str(error)
            assert len(line.splitlines()) == 1 and len(line) < 400 and line.isprintable(), f"{name} {number}: {line!r}"
            assert str(folder) not in line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KILOBYTES
    assert refused > times // 4  # the changes are no trifles


@pytest.mark.parametrize("name", FORMATS)
def test_a_hundred_changes(name, tmp_path, capfd) -> None:
    fuzz(name, tmp_path, 100, seed=0)
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.e2e
@pytest.mark.parametrize("name", FORMATS)
def test_a_thousand_changes(name, tmp_path, capfd) -> None:
    fuzz(name, tmp_path, 1000, seed=1)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_the_fuzzer_finds_what_it_is_for(tmp_path) -> None:
    """Pillow itself passes over check sums of a PNG, PyTorch over those of a checkpoint: changed values get through."""
    def changed(read: Callable[[Path], np.ndarray], name: str) -> int:
        path = tmp_path / f"plain.{name}"
        FORMATS[name].write(path)
        content, sound, random, found = path.read_bytes(), read(path), np.random.default_rng(5), 0
        for _ in range(150):
            path.write_bytes(mutated(content, random))
            try:
                found += not np.array_equal(read(path), sound)
            except Exception:
                continue
        return found

    assert changed(lambda path: np.asarray(Image.open(path)), "png") > 0
    assert changed(lambda path: np.concatenate([v.float().flatten() for v in torch.load(
        path, weights_only=True).values()]), "pt") > 0


def test_plain_and_packed_nifti_hold_the_same(tmp_path) -> None:
    write_nifti(tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    assert np.array_equal(read_exam(tmp_path / "a.nii"), read_exam(tmp_path / "b.nii.gz"))
