"""DICOM series as images: a folder's slices in the order of their places, never of names or instance numbers.

A series is named by its folder, `E1/dyn`, and where that is not enough by what follows `#`: `E1/all#UID` is one series
of several in a folder, `E1/dyn#:2` the second volume in time of a series that holds several, `E1/all#UID:2` both.
"""

from __future__ import annotations

import hashlib
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom

from transforms.dicom_pixels import decode_pixels
from transforms.dicom_volumes import Slice, Volume, describe, scan, split
from transforms.errors import InputError

_NATIVE = (pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.ExplicitVRLittleEndian)
_PIXEL_DATA = b"\xe0\x7f\x10\x00"


def is_series(path: Path | str) -> bool:
    """Whether a path names a DICOM series: a folder, or a folder and what of it."""
    path = Path(path)
    return path.is_dir() or ("#" in path.name and not path.is_file())


def parse(path: Path | str) -> tuple[Path, str, int | None]:
    """Folder, SeriesInstanceUID (or empty) and volume (from 1, or None) of a series' name.

    Raises:
        InputError: not such a name.
    """
    path = Path(path)
    name, _, what = path.name.partition("#")
    uid, _, number = what.partition(":")
    if (number and not number.isdigit()) or number == "0" or uid.strip("0123456789."):
        raise InputError(f"{name}: `#` is followed by a SeriesInstanceUID, by : and a volume counted from 1, or both",
                         code="series")
    return path.with_name(name), uid, int(number) if number else None


def read_volume(path: Path | str) -> tuple[np.ndarray, np.ndarray, str]:
    """Read a series to the end of each of its files.

    Args:
        path: as of `parse`.

    Returns:
        voxels `(X, Y, Z)` in Fortran order with the rescaling applied; `(4, 4)` voxel index to RAS mm, as exact as
        NIfTI stores it; SHA-256 over the files' own in the order of their places.

    Raises:
        InputError: with code `missing`, `empty`, `unreadable`, `truncated`, `plugin`, or `series` where slices are
            missing or doubled, or differ in what one volume shares.
    """
    folder, uid, number = parse(path)
    volume = pick(folder, uid, number)
    digest = hashlib.sha256()
    array: np.ndarray | None = None
    for k, each in enumerate(volume.slices):
        raw = each.path.read_bytes()
        digest.update(hashlib.sha256(raw).digest())
        pixels = _pixels(each, raw)
        if array is None:
            array = np.empty((len(volume.slices), *pixels.shape), pixels.dtype)
        array[k] = pixels
    assert array is not None
    slope, intercept = _rescale(volume.first)
    if (slope, intercept) != (1.0, 0.0):
        array = array * np.float32(slope) + np.float32(intercept)
    return array.T, volume.affine, digest.hexdigest()


def pick(folder: Path, uid: str = "", number: int | None = None) -> Volume:
    """One volume of a folder.

    Raises:
        InputError: as `read_volume`; also where there are several and it is not said which.
    """
    found = scan(folder)
    if uid:
        found = {key: slices for key, slices in found.items() if key == uid}
        if not found:
            raise InputError(f"{folder.name}: holds no series of that SeriesInstanceUID; correct the list",
                             code="series")
    if len(found) > 1:
        raise InputError(f"{folder.name}: holds {len(found)} series ({describe(found.values())}); give each a "
                         "folder of its own, or name one as FOLDER#SeriesInstanceUID", code="series")
    volumes = split(folder.name, next(iter(found.values())))
    if number is None and len(volumes) > 1:
        raise InputError(f"{folder.name}: {len(volumes)} volumes, so that a slice is there {len(volumes)} times; name "
                         "one as FOLDER#:1, the first in time", code="series")
    if (number or 1) > len(volumes):
        raise InputError(f"{folder.name}: holds {len(volumes)} volumes, number {number} was asked for; correct the "
                         "list, or complete the download", code="series")
    return volumes[(number or 1) - 1]


def _rescale(each: Slice) -> tuple[float, float]:
    slope, intercept = each.header.get("RescaleSlope"), each.header.get("RescaleIntercept")
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


def _pixels(each: Slice, raw: bytes) -> np.ndarray:
    """Stored values of one slice, `(rows, columns)`: a view of its bytes where they are plain."""
    header = each.header
    allocated, count = int(header.get("BitsAllocated", 16)), int(header["Rows"]) * int(header["Columns"])
    at = each.pixels
    if (each.syntax in _NATIVE and allocated in (8, 16, 32)
            and header.get("SamplesPerPixel", 1) == 1 and raw[at : at + 4] == _PIXEL_DATA):
        kind = np.dtype(f"<{'i' if header.get('PixelRepresentation') else 'u'}{allocated // 8}")
        start = at + (12 if raw[at + 4 : at + 6] in (b"OW", b"OB") else 8)
        if len(raw) < start + count * kind.itemsize:
            raise InputError(f"{each.path.name}: its pixels are truncated or damaged; copy it again", code="truncated")
        stored = np.frombuffer(raw, kind, count, start).reshape(int(header["Rows"]), int(header["Columns"]))
        bits = int(header.get("BitsStored", allocated))
        if bits == allocated or (stored.min() >= 0 and stored.max() < 1 << bits):
            return stored
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = decode_pixels(each.path.name, pydicom.dcmread(BytesIO(raw), force=True))
    if pixels.ndim != 2:
        raise InputError(f"{each.path.name}: a colour picture, not a slice; leave it out", code="unreadable")
    return pixels
