"""NIfTI: what a header says is held against what can be, before a voxel is read.

A header is 348 bytes that anything may have written. Its products overflow, its offsets point into itself, its numbers
are NaN: whatever cannot be an image is refused here, by name, and what is unusual but clear (metres) is converted and
noted.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import Any

import nibabel as nib
import numpy as np
from isal import isal_zlib

from transforms.errors import InputError

MOST_BYTES = 1 << 31  # of voxels, inflated: a 4D exam of six phases at the paper's size has a quarter of that
_BEHIND = 1 << 20  # bytes that may lie behind the voxels; nothing is stored there
_FIRST = 1 << 16  # bytes inflated to see the header, with its usual extensions
_BROKEN: tuple[Any, ...] = (isal_zlib.error, zlib.error)  # what inflating damaged data raises
_METRES = 0.05  # where every step is below it, the header counts in metres
_MICROMETRES = 20.0  # where every step is above it, and the header's unit is this, it counts in micrometres
_MICRON = 3


@dataclass
class NiftiHeader:
    """What a header says, once it makes sense.

    Attributes:
        shape: without trailing axes of length 1 beyond the third.
        dtype: of the stored voxels.
        start: byte of the first voxel.
        affine: `(4, 4)`, voxel index to RAS millimetres.
        placed: whether the header says how the image lies in the patient (a qform or an sform).
        scale: slope and intercept, None where values are stored as they are.
        notes: what was unusual and converted.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    affine: np.ndarray
    placed: bool
    scale: tuple[float, float] | None
    notes: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Byte behind the last voxel."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def parse_header(name: str, data: bytes) -> NiftiHeader:
    """Read a header from the first bytes of a file, inflated.

    Args:
        name: the file's, for errors.
        data: at least its header.

    Raises:
        InputError: with code `unreadable` or `bad_affine`.
    """
    header = _known(name, data)
    with np.errstate(all="ignore"):
        dtype, shape = header.get_data_dtype(), _shape(name, header)
        offset = float(header["vox_offset"])
    single = bytes(header["magic"])[:2] == b"n+"
    first = header.template_dtype.itemsize
    if not single or not math.isfinite(offset) or offset != int(offset) or not first + 4 <= offset < 1 << 31:
        raise _damaged(name, "its voxels begin nowhere" if single else "it is one half of a pair")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise InputError(f"{name}: holds no plain numeric voxels; convert it", code="unreadable")
    affine, placed, notes = _affine(name, header)
    found = NiftiHeader(shape, dtype, int(offset), affine, placed, _scale(name, header), notes)
    if found.end - found.start > MOST_BYTES:
        raise InputError(f"{name}: {' × '.join(map(str, shape))} voxels need {(found.end - found.start) / 2**30:.3g} "
                         f"GiB, at most {MOST_BYTES / 2**30:g} are read; store it as 16-bit numbers, or cut it",
                         code="unreadable")
    return found


def inflate(name: str, raw: bytes, most: int | None = None) -> bytes:
    """Inflate gzip data: its first `most` bytes, or as much as its own header asks for, to the end and its check sum.

    Args:
        name: the file's, for errors.
        raw: the file.
        most: stop there, unchecked; None: read on to the end.

    Raises:
        InputError: with code `truncated`, `corrupt`, or as `parse_header`.
    """
    try:
        start = isal_zlib.decompressobj(wbits=31).decompress(raw, _FIRST if most is None else most)
        if most is not None:
            return start
        room = parse_header(name, start).end + _BEHIND
        data, rest = b"", raw
        while rest.strip(b"\0") or not data:  # one member, or several, as bgzip writes
            engine = isal_zlib.decompressobj(wbits=31)
            part = engine.decompress(rest, room + 1 - len(data))
            data = data + part if data else part
            if len(data) > room:
                raise InputError(f"{name}: holds more than its header says; copy or convert it again", code="corrupt")
            if not engine.eof:  # all was given to it
                raise InputError(f"{name}: truncated gzip data; copy it again", code="truncated")
            rest = engine.unused_data
        return data
    except _BROKEN:
        raise InputError(f"{name}: corrupt gzip data (check sum or stream); copy it again", code="corrupt") from None


def voxels(name: str, data: bytes, header: NiftiHeader) -> np.ndarray:
    """The voxels `(X, Y, Z[, T])`, scaled, in Fortran order.

    Raises:
        InputError: with code `truncated`.
    """
    if len(data) < header.end:
        raise InputError(f"{name}: truncated, holds fewer voxels than its header says; copy it again", code="truncated")
    array = np.frombuffer(data, header.dtype, math.prod(header.shape), header.start).reshape(header.shape, order="F")
    if not header.dtype.isnative:
        array = array.astype(header.dtype.newbyteorder("="))
    if header.scale is not None:
        with np.errstate(all="ignore"):  # what overflows is infinite then, and found
            array = array * np.float32(header.scale[0]) + np.float32(header.scale[1])
    return array


def _known(name: str, data: bytes) -> Any:
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        size = kind.template_dtype.itemsize
        if len(data) >= size and kind.may_contain_header(data[:size]):
            try:
                return kind(data[:size], check=False)
            except Exception:  # nibabel raises several kinds for a header that makes no sense
                break
    raise _damaged(name, "not a NIfTI file, or its header is damaged")


def _shape(name: str, header: Any) -> tuple[int, ...]:
    axes = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : axes + 1]) if 1 <= axes <= 7 else ()
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if not shape or min(shape) < 1:
        raise _damaged(name, "its header gives no shape")
    try:
        header.get_data_dtype()
    except Exception:
        raise _damaged(name, "its header gives no type of voxels") from None
    return shape


def _scale(name: str, header: Any) -> tuple[float, float] | None:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or math.isnan(slope) or (slope, intercept) == (1.0, 0.0):  # both mean: as stored
        return None
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise _damaged(name, "its header scales voxels by what is no number")
    return slope, intercept


def _affine(name: str, header: Any) -> tuple[np.ndarray, bool, list[str]]:
    placed = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    try:
        with np.errstate(all="ignore"):
            affine = np.asarray(header.get_best_affine(), float)
    except Exception:  # a quaternion that is none
        affine = np.full((4, 4), np.nan)
    # What the header calls its unit is seldom set and seldom read: the steps themselves must say the same.
    steps = np.linalg.norm(affine[:3, :3], axis=0) if np.isfinite(affine).all() else np.ones(3)
    factor = 1.0
    if steps.min() > 0 and steps.max() < _METRES:
        factor = 1000.0
    elif int(header["xyzt_units"]) & 7 == _MICRON and steps.min() > _MICROMETRES:
        factor = 0.001
    affine = np.diag([factor, factor, factor, 1.0]) @ affine
    check_affine(name, affine)
    return affine, placed, [f"its header counts in {'metres' if factor > 1 else 'micrometres'}"] if factor != 1 else []


def check_affine(name: str, affine: np.ndarray) -> None:
    """Refuse an affine that places no voxel.

    Raises:
        InputError: with code `bad_affine`.
    """
    fine = np.isfinite(affine).all() and np.abs(affine).max() < 1e6
    if not fine or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise InputError(f"{name}: its affine is not finite or cannot be inverted; convert it again",
                         code="bad_affine")


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"{name}: {what}; copy or convert it again", code="unreadable")
