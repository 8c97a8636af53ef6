"""Reading images: once, to the end, and with the file's own check sum.

A NIfTI file is read in one go: `isal` inflates it two to four times faster than zlib and compares the CRC that
gzip stores, so that a flipped bit is an error and not a wrong voxel. Everything else goes through ITK.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib

from transforms.errors import InputError

_NIFTI = (".nii", ".nii.gz")
_ITK = (".nrrd", ".nhdr", ".mha", ".mhd", ".tif", ".tiff", ".png")
_BROKEN: tuple[Any, ...] = (isal_zlib.error, zlib.error)  # what inflating damaged data raises
_HEADER_BYTES = 1 << 16  # more than any NIfTI-1 or -2 header with its usual extensions


@dataclass
class Image:
    """One image as it lies on disk.

    Attributes:
        array: voxels, `(X, Y, Z)` or `(X, Y, Z, T)`, with the header's scaling applied; Fortran order, so that
            `array.T` is a contiguous `(Z, Y, X)` array.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        digest: SHA-256 of the file's bytes.
    """

    array: np.ndarray
    affine: np.ndarray
    digest: str = ""


@dataclass
class Header:
    """What an image's header says: `shape` as stored, `affine` voxel index to RAS millimetres."""

    shape: tuple[int, ...]
    affine: np.ndarray


def is_image(path: Path | str) -> bool:
    """Whether a file's name says that `read_image` can read it."""
    return Path(path).name.lower().endswith(_NIFTI + _ITK)


def read_image(path: Path | str) -> Image:
    """Read one image file to its end.

    Args:
        path: NIfTI (`.nii`, `.nii.gz`), NRRD, MetaImage, TIFF or PNG.

    Raises:
        InputError: with code `missing`, `empty`, `truncated`, `corrupt` (check sum) or `unreadable`.
    """
    path = Path(path)
    raw = _read_bytes(path)
    digest = hashlib.sha256(raw).hexdigest()
    if not path.name.lower().endswith(_NIFTI):
        array, affine = _read_itk(path)
        return Image(array, affine, digest)
    data = _inflate(path, raw) if raw[:2] == b"\x1f\x8b" else raw
    header = _parse_nifti(path, data)
    shape, dtype = _nifti_shape(path, header), header.get_data_dtype()
    start, count = int(header["vox_offset"]), int(np.prod(shape))
    if len(data) < start + count * dtype.itemsize:
        raise InputError(f"{path.name}: truncated, holds fewer voxels than its header says; copy it again",
                         code="truncated")
    array = np.frombuffer(data, dtype, count, start).reshape(shape, order="F")
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    slope, intercept = header.get_slope_inter()
    if slope is not None and (slope, intercept) != (1.0, 0.0):
        array = array * np.float32(slope) + np.float32(intercept or 0.0)
    return Image(array, header.get_best_affine(), digest)


def read_header(path: Path | str) -> Header:
    """Read an image's shape and affine, not its voxels.

    Raises:
        InputError: as `read_image`.
    """
    path = Path(path)
    if not path.name.lower().endswith(_NIFTI):
        return _read_itk_header(path)
    raw = _read_bytes(path, _HEADER_BYTES)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = isal_zlib.decompressobj(wbits=31).decompress(raw, _HEADER_BYTES)
        except _BROKEN:
            raise InputError(f"{path.name}: corrupt gzip data; copy it again", code="corrupt") from None
    header = _parse_nifti(path, raw)
    return Header(_nifti_shape(path, header), header.get_best_affine())


def _read_bytes(path: Path, limit: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(limit)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path.name}: no such file; correct its path in the datalist", code="missing") from None
    except (IsADirectoryError, PermissionError) as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})", code="unreadable") from None
    if not raw:
        raise InputError(f"{path.name}: empty file (0 bytes); copy it again", code="empty")
    return raw


def _inflate(path: Path, raw: bytes) -> bytes:
    try:
        return igzip.decompress(raw)
    except EOFError:
        raise InputError(f"{path.name}: truncated gzip data; copy it again", code="truncated") from None
    except (*_BROKEN, OSError) as error:
        text = str(error).lower()
        if "incomplete" in text or "end-of-stream" in text or "truncated" in text:
            raise InputError(f"{path.name}: truncated gzip data; copy it again", code="truncated") from None
        raise InputError(f"{path.name}: corrupt gzip data (check sum or stream); copy it again",
                         code="corrupt") from None


def _parse_nifti(path: Path, data: bytes) -> nib.Nifti1Header:
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        size = kind.template_dtype.itemsize
        if kind.may_contain_header(data[:size]) and len(data) >= size:
            try:
                return kind(data[:size])
            except Exception as error:  # nibabel raises several kinds for a header that makes no sense
                raise InputError(f"{path.name}: NIfTI header is damaged ({error}); copy it again",
                                 code="unreadable") from None
    raise InputError(f"{path.name}: not a NIfTI file, or its header is damaged; copy it again", code="unreadable")


def _nifti_shape(path: Path, header: nib.Nifti1Header) -> tuple[int, ...]:
    """The header's shape without the trailing axes of length 1 beyond the third."""
    shape = tuple(int(n) for n in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if header.get_data_dtype().kind not in "iuf" or not shape or min(shape) < 1:
        raise InputError(f"{path.name}: holds no plain numeric voxels; convert it", code="unreadable")
    return shape


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import itk  # slow to import, and only needed for the rarer formats

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

    _read_bytes(path, 1)  # missing or empty
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
    return Header(tuple(reader.GetDimensions(axis) for axis in axes), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[-1][:120] if str(error).strip() else type(error).__name__
    return InputError(f"{path.name}: cannot be read ({reason.replace(str(path), path.name)})", code="unreadable")
