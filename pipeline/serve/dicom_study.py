"""What an answer as DICOM takes over from the images that were asked about, and who it says made it.

Of a patient it takes the four attributes that DICOM demands in every object (name, id, date of birth, sex), of the
study the six that say to which one it belongs; nothing else that could name anybody.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from pipeline import __version__
from pipeline.errors import InputError
from transforms.dicom_series import is_series, parse, pick
from transforms.dicom_volumes import scan
from transforms.grid import Grid
from transforms.load import is_image

NOTICE = "Research only. Not for clinical use."
MAKER = "breast-bundles"
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName")
_IMAGE: tuple[Any, ...] = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "Modality", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "InstanceNumber", "PatientOrientation",
    "ImagerPixelSpacing")
_NAMESPACE = uuid.UUID("6a0e8d0a-6c1f-4f0e-9d1d-0d6f2d3c1b57")  # of what has trained weights and a version


@dataclass(frozen=True)
class Model:
    """What gave an answer.

    Attributes:
        name: the bundle's, e.g. `breast_mri_curriculum`.
        version: of its metadata.
    """

    name: str
    version: str

    @property
    def uid(self) -> str:
        """The same for the same name and version, wherever it is made."""
        return f"2.25.{uuid.uuid5(_NAMESPACE, f'{self.name} {self.version}').int}"

    @property
    def serial(self) -> str:
        """What DICOM's enhanced objects demand of a device."""
        return uuid.uuid5(_NAMESPACE, f"{self.name} {self.version}").hex[:16]

    def series(self, number: int, what: str) -> dict[str, Any]:
        """What each object has in common: a series of its own, one instance, its maker."""
        return {"series_instance_uid": generate_uid(), "series_number": 9000 + number, "instance_number": 1,
                "sop_instance_uid": generate_uid(), "manufacturer": MAKER,
                "manufacturer_model_name": self.name[:64],
                "software_versions": f"{self.version[:40]}, {MAKER} {__version__}",
                "device_serial_number": self.serial, "series_description": f"{what} ({self.name[:30]}), research only"}


@dataclass(frozen=True)
class Source:
    """The images that were asked about: headers, without pixels and without what else names anybody.

    Attributes:
        images: slices in ascending order along the normal, or mammograms.
        grid: of a series: voxel `(column, row, slice)` to RAS mm; None of mammograms, which share no space.
    """

    images: list[Dataset]
    grid: Grid | None = None


def read_series(path: Path | str) -> Source:
    """A series, or one volume of it.

    Args:
        path: as `transforms.dicom_series.parse` takes it: `FOLDER`, `FOLDER#UID`, `FOLDER#:2`.

    Raises:
        InputError: no DICOM series, as `transforms.dicom_series.pick`, or no frame of reference is named.
    """
    path = Path(path)
    if not is_series(path):
        raise _no_dicom(path)
    volume = pick(*parse(path))
    images = [_header(each.path) for each in volume.slices]
    if len({str(image.get("FrameOfReferenceUID", "")) for image in images} - {""}) != 1:
        raise InputError(f"{path.name}: its slices do not name one frame of reference, to which maps could refer; give "
                         "the original series", code="series")
    grid = Grid(volume.shape, volume.affine)
    for image in images:  # which the header may leave open
        image.SliceThickness = image.get("SliceThickness") or round(float(grid.spacing[2]), 6)
    return Source(images, grid)


def read_views(paths: Sequence[Path | str]) -> Source:
    """Mammograms of one examination, in the order of its views.

    Raises:
        InputError: no DICOM, or files of several patients or studies.
    """
    need_dicom(paths)
    images = [_header(Path(path)) for path in paths]
    for tag in ("PatientID", "StudyInstanceUID"):
        if len({str(image[tag].value) for image in images}) > 1:
            raise InputError(f"{Path(paths[0]).parent.name}: its files are of several studies, and an answer belongs "
                             "to one; leave out --dicom, or give each study a folder of its own")
    return Source(images)


def need_dicom(image: Path | str | Sequence[Path | str]) -> None:
    """Refuse what an answer as DICOM could not refer to, by its kind alone.

    Args:
        image: a folder with series in it or below, or mammograms.

    Raises:
        InputError: it is no DICOM.
    """
    if not isinstance(image, (str, Path)):
        for path in map(Path, image):
            if not path.is_file() or not _is_dicom(path):
                raise _no_dicom(path)
    elif not (path := Path(image)).is_dir() or any(is_image(file) for file in path.iterdir()):
        raise _no_dicom(path)
    else:
        scan(path, deep=True)


def _header(path: Path) -> Dataset:
    """What of an image's header its answer refers to, as UTF-8; what must be there at least empty is.

    Raises:
        InputError: it cannot be read, or does not say what it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values of the header
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, force=True,
                                    specific_tags=[*_IMAGE, *PATIENT, *STUDY])
            found.decode()
            for tag in (*PATIENT, *STUDY):
                setattr(found, tag, _allowed(tag, str(found.get(tag) or "")))
            found.Modality = found.get("Modality") or "OT"
        except Exception:  # damaged in one of many ways, some of which quote it
            raise InputError(f"{path.name}: its header is damaged; copy it again", code="unreadable") from None
    if lacking := [tag for tag in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
                   if not found.get(tag)]:
        raise InputError(f"{path.name}: has no {lacking[0]}, to which an answer could refer; give the original",
                         code="unreadable")
    found.SpecificCharacterSet = "ISO_IR 192"
    return found


def _allowed(tag: str, value: str) -> str:
    """A value that DICOM allows for a tag: those of the source may have been blanked in other ways than by emptying."""
    kinds: dict[str, Any] = {"PatientSex": _sex, "PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
    try:
        return value if not value or kinds.get(tag, str)(value) else ""
    except ValueError:
        return ""


def _sex(value: str) -> bool:
    return value in ("F", "M", "O")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"


def _no_dicom(path: Path) -> InputError:
    return InputError(f"{path.name}: no DICOM, and an answer as DICOM refers to what it answers; give the original "
                      "series, or leave out --dicom", code="series")
