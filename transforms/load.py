"""Reading images: once, to the end, and with the file's own check sum.

A NIfTI file is read in one go: `isal` inflates it two to four times faster than zlib and compares the CRC that
gzip stores, so that a flipped bit is an error and not a wrong voxel. A folder is a DICOM series
(`transforms.dicom_series`); everything else goes through ITK. Headers are looked at first (`transforms.nifti`), and no
more is inflated than they ask for.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from transforms import dicom_series, nifti
from transforms.errors import InputError

Result = TypeVar("Result")

_NIFTI = (".nii", ".nii.gz")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd", ".tif", ".tiff", ".png")
_HEADER_BYTES = 1 << 16  # more than any NIfTI-1 or -2 header with its usual extensions


@dataclass
class Image:
    """One image as it lies on disk.

    Attributes:
        array: voxels, `(X, Y, Z)` or `(X, Y, Z, T)`, with the header's scaling applied; Fortran order, so that
            `array.T` is a contiguous `(Z, Y, X)` array.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        digest: SHA-256 of the file's bytes, or over those of a series' files.
        placed: whether the header says how the image lies in the patient.
        notes: what of the header was unusual and converted.
    """

    array: np.ndarray
    affine: np.ndarray
    digest: str = ""
    placed: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class Header:
    """What an image's header says: `shape` as stored, the rest as of `Image`."""

    shape: tuple[int, ...]
    affine: np.ndarray
    placed: bool = True
    notes: list[str] = field(default_factory=list)


def is_image(path: Path | str) -> bool:
    """Whether a file's name says that `read_image` can read it."""
    return Path(path).name.lower().endswith(_NIFTI + _ITK)


def read_image(path: Path | str) -> Image:
    """Read one image to its end.

    Args:
        path: NIfTI (`.nii`, `.nii.gz`), NRRD, MetaImage, TIFF or PNG; or a DICOM series (`dicom_series`).

    Raises:
        InputError: with code `missing`, `empty`, `truncated`, `corrupt` (check sum), `bad_affine`, `unreadable`,
            `series` (DICOM slices that do not make one volume) or `plugin`.
    """
    return readable(Path(path), _read_image)


def _read_image(path: Path) -> Image:
    if dicom_series.is_series(path):
        return Image(*dicom_series.read_volume(path))
    raw = read_bytes(path)
    digest = _digest(path, raw)
    if not path.name.lower().endswith(_NIFTI):
        check_png(path.name, raw)
        array, affine = _read_itk(path)
        nifti.check_affine(path.name, affine)
        return Image(array, affine, digest)
    data = nifti.inflate(path.name, raw) if raw[:2] == b"\x1f\x8b" else raw
    header = nifti.parse_header(path.name, data)
    return Image(nifti.voxels(path.name, data, header), header.affine, digest, header.placed, header.notes)


def read_header(path: Path | str) -> Header:
    """Read an image's shape and affine, not its voxels.

    Raises:
        InputError: as `read_image`.
    """
    return readable(Path(path), _read_header)


def _read_header(path: Path) -> Header:
    if dicom_series.is_series(path):
        volume = dicom_series.pick(*dicom_series.parse(path))
        return Header(volume.shape, volume.affine)
    if not path.name.lower().endswith(_NIFTI):
        return _read_itk_header(path)
    raw = read_bytes(path, _HEADER_BYTES)
    if raw[:2] == b"\x1f\x8b":
        raw = nifti.inflate(path.name, raw, _HEADER_BYTES)
    header = nifti.parse_header(path.name, raw)
    return Header(header.shape, header.affine, header.placed, header.notes)


def size_and_time(path: Path | str) -> tuple[int, int]:
    """Size in bytes and time of the last change (ns) of an image; of a series, of all files in its folder.

    Raises:
        OSError: no such image.
    """
    files = _files(Path(path))
    states = [(file.name, file.stat()) for file in files]
    size = sum(state.st_size for _, state in states)
    if len(states) == 1:
        return size, states[0][1].st_mtime_ns
    told = repr([(name, state.st_size, state.st_mtime_ns) for name, state in sorted(states, key=lambda each: each[0])])
    return size, int(hashlib.sha256(told.encode()).hexdigest()[:15], 16)  # any file's change is one


def _files(path: Path) -> list[Path]:
    """The files that an image is made of: itself, a series' slices, or a header and the voxels that it names."""
    if dicom_series.is_series(path):
        return [file for file in dicom_series.parse(path)[0].iterdir() if file.is_file()]
    return [path, *_detached(path)]


def _detached(path: Path) -> list[Path]:
    if not path.name.lower().endswith((".mhd", ".nhdr")):
        return []
    text = read_bytes(path, _HEADER_BYTES).decode("latin-1")
    named = re.findall(r"(?im)^\s*(?:ElementDataFile\s*=|data ?file:)\s*(\S.*?)\s*$", text)
    return [file for name in named if (file := path.parent / name).is_file()]


def image_digest(path: Path | str) -> str:
    """`Image.digest` of an image on disk.

    Raises:
        InputError: as `read_image`.
    """
    if dicom_series.is_series(path):
        return dicom_series.read_volume(path)[2]
    return _digest(Path(path), read_bytes(Path(path)))


def _digest(path: Path, raw: bytes) -> str:
    found = hashlib.sha256(raw)
    for file in _detached(path):
        found.update(read_bytes(file))
    return found.hexdigest()


def readable(path: Path, reader: Callable[[Path], Result]) -> Result:
    """What a reader makes of a file; whatever it did not foresee becomes "unreadable", with the file's name.

    Raises:
        InputError: as the reader; with code `unreadable` for every other exception.
    """
    try:
        return reader(path)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{path.name}: does not fit into memory; cut it, or read it on a larger machine",
                         code="unreadable") from None
    except Exception as error:  # a file can be damaged in more ways than its reader knows
        raise _unreadable(path, error) from None


def read_bytes(path: Path, limit: int = -1) -> bytes:
    """A file's bytes, or its first ones.

    Raises:
        InputError: with code `missing`, `empty` or `unreadable`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.name}: no such file; correct its path in the datalist", code="missing") from None
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); put a readable file there",
                         code="unreadable") from None
    if not raw:
        raise InputError(f"{path.name}: empty file (0 bytes); copy it again", code="empty")
    return raw


def check_png(name: str, raw: bytes) -> None:
    """Compare every chunk of a PNG with its check sum, which its readers pass over; other formats are left alone.

    Raises:
        InputError: with code `corrupt` or `truncated`.
    """
    if raw[:8] != b"\x89PNG\r\n\x1a\n":
        return
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = int.from_bytes(raw[at : at + 4], "big"), raw[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(raw):
            raise InputError(f"{name}: truncated or damaged; copy it again", code="truncated")
        if zlib.crc32(raw[at + 4 : end - 4]) != int.from_bytes(raw[end - 4 : end], "big"):
            raise InputError(f"{name}: damaged (check sum); copy it again", code="corrupt")
        at = end


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import itk  # slow to import, and only needed for the rarer formats

    _read_itk_header(path)  # before anything is allocated
    try:
        image = itk.imread(str(path))
    except Exception as error:  # ITK raises RuntimeError, TypeError and its own, by format
        raise _unreadable(path, error) from None
    array = np.array(itk.array_view_from_image(image)).T
    dimension = image.GetImageDimension()
    affine = np.eye(4)
    direction = itk.array_from_matrix(image.GetDirection())
    affine[:dimension, :dimension] = direction * np.asarray(image.GetSpacing())
    affine[:dimension, 3] = np.asarray(image.GetOrigin())
    return array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # ITK's LPS to RAS


def _read_itk_header(path: Path) -> Header:
    import itk

    read_bytes(path, 1)  # missing or empty
    try:
        reader = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
        if reader is None:
            raise ValueError("not an image, or of an unknown kind")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
    except Exception as error:  # as in _read_itk
        raise _unreadable(path, error) from None
    axes = range(reader.GetNumberOfDimensions())
    affine = np.eye(4)
    for axis in [a for a in axes if a < 3]:
        direction = list(reader.GetDirection(axis))[:3]
        affine[: len(direction), axis] = np.asarray(direction) * reader.GetSpacing(axis)
        affine[axis, 3] = reader.GetOrigin(axis)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    nifti.check_affine(path.name, affine)
    shape = tuple(int(reader.GetDimensions(axis)) for axis in axes)
    if math.prod(shape) * int(reader.GetComponentSize()) * int(reader.GetNumberOfComponents()) > nifti.MOST_BYTES:
        raise InputError(f"{path.name}: {' × '.join(map(str, shape))} voxels are more than are read; cut it",
                         code="unreadable")
    return Header(shape, affine)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
    reason = "".join(c if c.isprintable() else " " for c in reason.replace(str(path), path.name))
    return InputError(f"{path.name}: cannot be read ({reason}); copy or convert it again", code="unreadable")
