"""Fixtures that several tests share: a cohort so small that every test can have its own."""

from __future__ import annotations

import json
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

from data_lists.__main__ import main as convert
from pipeline.datalist import Datalist, Exam, Lesion, load, save
from pipeline.files.receipts import digest
from pipeline.folds import assign_folds
from pipeline.phantoms.breast_mri import exams as breast_mri
from pipeline.phantoms.breast_ultrasound import exams as breast_ultrasound
from pipeline.phantoms.mammography import exams as mammography
from pipeline.prepare import cases as prepared_cases

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


# A synthetic breast MRI cohort, matrices for seconds on one core; and the preparation that fits it.
PHANTOM = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (56, 56, 8), (5.5, 5.5, 15.0))
CHANNELS = ("pre", "post1", "post2", "post3", "post4", "t2")
MATRIX, ROWS = (128, 128, 8), 64  # breasts of 64 x 64 x 8 voxels: two cells of C5 an axis


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


def write_prepared(folder: Path, exams: int = 12, channels: int = 6, shape: tuple[int, int, int] = (64, 64, 8),
                   folds: int = 3) -> Path:
    """Write a prepared dataset as `prepare.yaml` leaves it: noise, brighter by a lesion where a breast is malignant.

    Exam i is tested in fold i mod `folds` and validates in the next. In every second exam one breast, alternating
    sides, is malignant with a marked lesion; in exams 0, 1, 4, 5, 8, 9 the others are benign, with one too.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    breasts = []
    for i in range(exams):
        for side in ("L", "R"):
            bad = i % 2 == 0 and side == "LR"[i // 2 % 2]
            benign = not bad and i % 4 < 2
            name = f"E{i:04d}_{side}.npy"
            voxels = random.uniform(0.5, 1.5, (channels, *shape[::-1]))
            center = [n // 2 + int(random.integers(-2, 3)) for n in shape]
            if bad:
                x, y, z = center
                voxels[1:, z - 1 : z + 2, y - 4 : y + 5, x - 4 : x + 5] += 2
            np.save(folder / name, voxels.astype(np.float16))
            breasts.append({
                "exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "side": side, "image": name,
                "affine": np.diag([2.0, 2.0, 4.0, 1.0]).tolist(), "malignant": int(bad),
                "lesions": [[*map(float, center), int(bad)]] if bad or benign else [], "lesions_outside_crop": 0,
                "splits": splits_of(i, folds), "groups": {"density": "abcd"[i % 4]},
                "readers": {"reader1": 4 if bad else 2},
            })
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": list(CHANNELS[:channels])},
               "folds": {"count": folds, "seed": 0}, "breasts": breasts}
    return seal(folder, content)


@pytest.fixture(scope="session")
def make_prepared() -> Callable[..., Path]:
    """`write_prepared`, for tests that need another size."""
    return write_prepared


@pytest.fixture(scope="session")
def reseal() -> Callable[[Path, dict[str, Any]], Path]:
    """`seal`, for tests that change a prepared list."""
    return seal


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of 24 breasts in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "prepared", write_prepared)


def seal(folder: Path, content: dict[str, Any]) -> Path:
    """Write a prepared list as `prepare.yaml` does, with the digests of the arrays that are there."""
    for key in ("breasts", "lesions", "crops", "images", "exams"):
        for case in content.get(key, ()):
            if (folder / case["image"]).is_file():
                case["sha256"] = digest(folder / case["image"])
    content.pop("digest", None)
    prepared_cases.save(folder, content, content.pop("datalist", "list.json"))
    return folder


def splits_of(number: int, folds: int) -> list[str]:
    """The part that exam `number` plays in each fold: tested in one, validating in the next."""
    return [{number % folds: "test", (number + 1) % folds: "validation"}.get(fold, "train") for fold in range(folds)]


CONTRASTS7 = ("pre", "post1", "post2", "post3", "post4", "sub", "t2")


def write_prepared_lesions(folder: Path, lesions: int = 18, size: int = 16, folds: int = 3) -> Path:
    """Write patches as the transfer bundle's `prepare.yaml` leaves them: malignant lesions are brighter in `sub`."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for i in range(lesions):
        name = f"E{i:04d}_lesion1.npy"
        patches = random.uniform(0.5, 1.5, (1 + i % 3, 7, size, size))
        patches[:, 5, 4:12, 4:12] += i % 2
        np.save(folder / name, patches.astype(np.float16))
        cases.append({"exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "side": "LR"[i % 2], "lesion_id": "1",
                      "image": name, "slices": 1 + i % 3, "malignant": i % 2, "missing": [], "readers": {},
                      "curve": dict(zip(CONTRASTS7[:5], (100, 150 + 50 * (i % 2), 180, 170, 160), strict=True)),
                      "splits": splits_of(i // 2, folds), "groups": {}})
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": list(CONTRASTS7)},
               "folds": {"count": folds, "seed": 0}, "lesions": cases}
    return seal(folder, content)


@pytest.fixture(scope="session")
def tiny_lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared patches of 18 lesions in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "lesions", write_prepared_lesions)


def write_prepared_exams(folder: Path, exams: int = 12, folds: int = 3) -> Path:
    """Write whole exams as the doubly deep bundle's `prepare.yaml` leaves them: of two shapes, with x to the right.

    Labels go by the exam's number: 0 left malignant, 1 right benign, 2 right malignant, 3 none; and so on. Of exam 3
    the left breast was not imaged, of exam 7 nothing is known of benign findings. Findings are brighter after contrast,
    at a quarter of x on the left and at three quarters on the right.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for i in range(exams):
        shape = (40, 36, 4) if i % 3 else (36, 48, 3)
        voxels = random.uniform(0.5, 1.5, (4, *shape[::-1]))
        side, kind = [("L", "malignant"), ("R", "benign"), ("R", "malignant"), ("", "")][i % 4]
        breasts = {of: {what: int((of, what) == (side, kind)) for what in ("benign", "malignant")} for of in "LR"}
        x, y, z = shape[0] // 4 * (3 if side == "R" else 1), shape[1] // 2, 1
        if side:
            voxels[1:, z, y - 4 : y + 5, x - 4 : x + 5] += 2
        if i == 3:
            del breasts["L"]
        if i == 7:
            breasts = {of: {**known, "benign": None} for of, known in breasts.items()}
        name = f"E{i:04d}_stack.npy"
        np.save(folder / name, voxels.astype(np.float16))
        cases.append({
            "exam_id": f"E{i:04d}", "patient_id": f"SECRET{i:04d}", "image": name, "breasts": breasts,
            "affine": np.diag([2.0, 2.0, 5.0, 1.0]).tolist(), "phases": ["pre", "post1", "post2", "post3"],
            "missing": [], "malignant": int(kind == "malignant"), "splits": splits_of(i // 4, folds),
            "lesions": [[float(x), float(y), float(z), side, int(kind == "malignant")]] if side else [],
            "groups": {"density": "abcd"[i % 4]}, "readers": {"reader1": {"L": 2, "R": 4}}})
    content = {"schema": prepared_cases.SCHEMA, "name": "tiny", "modality": "MR",
               "parameters": {"version": 1, "channels": ["pre", "post1", "post2", "post3"]},
               "folds": {"count": folds, "seed": 0}, "exams": cases}
    return seal(folder, content)


@pytest.fixture(scope="session")
def tiny_exams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve prepared whole exams in three folds. Shared: read it only."""
    return made_once(tmp_path_factory, "exams", write_prepared_exams)


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


@pytest.fixture(scope="session")
def tiny_crops(ultrasound_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops of `ultrasound_cohort`, prepared. Shared: read it only."""
    from pipeline.breast_ultrasound.crops import CENTER_CROPS
    from pipeline.prepare import run as prepare
    from transforms import LoadCenterCrops

    return made_once(tmp_path_factory, "crops", lambda folder: prepare.run(
        ultrasound_cohort.list, folder, CENTER_CROPS, LoadCenterCrops((16, 40, 40), healthy=2), 1))


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


@pytest.fixture(scope="session")
def tiny_views(mammography_cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The views of `mammography_cohort`, prepared, with a holistic model and its regions. Shared: read it only."""
    import torch

    from pipeline.mammography import regions
    from pipeline.mammography.views import VIEWS
    from pipeline.networks.mammogram_resnet import mammogram_resnet
    from pipeline.prepare import cases as prepared
    from pipeline.prepare import run as prepare
    from transforms import LoadViews

    def write(folder: Path) -> None:
        prepare.run(mammography_cohort.list, folder, VIEWS, LoadViews(), 1)
        sizes = {"layers": 18, "widen": 0.125}
        torch.save(mammogram_resnet(**sizes).state_dict(), folder / "holistic.pt")
        (folder / "settings.json").write_text(json.dumps(sizes))  # what a config must be told to load it
        middle = {regions.image_key(case): {"center": [64.0, 40.0], "score": 0.0}
                  for case in prepared.load(folder)["images"]}
        regions.save(folder / "regions.json", regions.identity(folder / "holistic.pt", 976, 976, 0), middle)

    return made_once(tmp_path_factory, "views", write)


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE, *, first: int = 1, shuffle: int = 0,
                 **tags: Any) -> str:
    """Write a volume `(X, Y, Z)` as DICOM slices, as a scanner does; returns its SeriesInstanceUID.

    Args:
        folder: made where it is not there.
        array: whole numbers of 16 bits.
        affine: voxel index to RAS mm; its third axis must be orthogonal to the others.
        first: number of the first file and instance; a folder can hold several volumes.
        shuffle: seed that names and instance numbers are drawn with; 0: in the order of the slices.
        tags: of every slice, by keyword; a list of as many values as slices gives each its own.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    numbers = np.arange(array.shape[2])
    if shuffle:
        np.random.default_rng(shuffle).shuffle(numbers)
    uid = str(tags.pop("SeriesInstanceUID", pydicom.uid.generate_uid()))
    for k in range(array.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        number = first + int(numbers[k])
        path = folder / f"1-{number:03d}.dcm"
        file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        file.PatientName, file.PatientID, file.StudyDate, file.Modality = "SECRET^NAME", "SECRET", "19990101", "MR"
        file.StudyInstanceUID, file.SeriesInstanceUID, file.InstanceNumber = "1.2.3", uid, number
        file.ImageOrientationPatient = [float(v) for v in (*(lps[:3, 0] / steps[0]), *(lps[:3, 1] / steps[1]))]
        file.ImagePositionPatient = [float(v) for v in lps[:3] @ [0, 0, k, 1]]
        file.PixelSpacing = [float(steps[1]), float(steps[0])]
        file.SliceThickness = float(steps[2])
        for tag, value in tags.items():
            setattr(file, tag, value[k] if isinstance(value, list) and len(value) == array.shape[2] else value)
        file.Columns, file.Rows = array.shape[:2]
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.PixelRepresentation = int(array.dtype.kind == "i")
        file.PixelData = np.ascontiguousarray(array[:, :, k].T).astype(array.dtype.newbyteorder("<")).tobytes()
        file.save_as(path, enforce_file_format=True)
    return uid


@pytest.fixture
def make_series() -> Callable[..., str]:
    """`write_series`, for tests of DICOM."""
    return write_series


def write_mammogram(path: Path, side: str = "L", shape: tuple[int, int] = (60, 40), *, pixels: np.ndarray | None = None,
                    bits: int = 16, **tags: Any) -> None:
    """Write a mammogram as DICOM: a breast with the chest wall at its side's usual edge, or given pixels.

    Args:
        path: folders above are made.
        side: L or R, of the drawn breast.
        shape: rows and columns of the drawn breast.
        pixels: `(rows, columns)`, instead of it.
        bits: 8 or 16.
        tags: by keyword; with `PhotometricInterpretation="MONOCHROME1"` the stored values are the inverse.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    if pixels is None:
        rows, columns = np.indices(shape)
        inside = ((rows - shape[0] / 2) / (0.4 * shape[0])) ** 2 + (columns / (0.7 * shape[1])) ** 2 < 1
        pixels = inside * (900 - 5 * columns) if bits == 16 else inside * (200 - columns)
        pixels = pixels if side == "L" else pixels[:, ::-1]
    if tags.get("PhotometricInterpretation") == "MONOCHROME1":
        pixels = pixels.max() - pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.SeriesInstanceUID, file.Modality = pydicom.uid.generate_uid(), "MG"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated = file.BitsStored = bits
    file.HighBit = bits - 1
    for tag, value in tags.items():
        setattr(file, tag, value)
    file.PixelData = pixels.astype(f"<u{bits // 8}").tobytes() + b"\0" * (pixels.size * bits // 8 % 2)
    file.save_as(path, enforce_file_format=True)


@pytest.fixture
def make_mammogram() -> Callable[..., None]:
    """`write_mammogram`, for tests of converters."""
    return write_mammogram
