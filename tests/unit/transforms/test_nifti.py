"""NIfTI headers: what they ask for is held against what can be before a voxel is read."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from transforms.errors import InputError
from transforms.nifti import inflate, parse_header, voxels

ARRAY = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def stored(kind=nib.Nifti1Image, affine=AFFINE, **header) -> bytearray:
    image = kind(ARRAY, affine)
    for name, value in header.items():
        image.header[name] = value
    return bytearray(image.to_bytes())


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_what_nibabel_writes_is_read(kind) -> None:
    raw = bytes(stored(kind))
    header = parse_header("a.nii", raw)
    assert header.shape == (3, 4, 5) and header.placed and header.end == len(raw)
    np.testing.assert_array_equal(voxels("a.nii", raw, header), ARRAY)
    np.testing.assert_array_equal(header.affine, AFFINE)


def test_values_are_scaled_as_the_header_says() -> None:
    raw = bytes(stored(scl_slope=0.5, scl_inter=-3))
    np.testing.assert_allclose(voxels("a.nii", raw, parse_header("a.nii", raw)), ARRAY * 0.5 - 3)


@pytest.mark.parametrize("place, form, values, code", [
    (108, "<f", (0.0,), "unreadable"), (108, "<f", (float("nan"),), "unreadable"),
    (108, "<f", (float("inf"),), "unreadable"), (42, "<3h", (32767, 32767, 32767), "unreadable"),
    (42, "<h", (-4,), "unreadable"), (112, "<2f", (2.0, float("inf")), "unreadable"),
    (280, "<f", (float("nan"),), "bad_affine"), (280, "<12f", (1.0,) * 12, "bad_affine"),
    (70, "<h", (32,), "unreadable"), (344, "<4s", (b"none",), "unreadable")])
def test_headers_that_make_no_sense_are_one_line(place, form, values, code) -> None:
    raw = stored()
    struct.pack_into(form, raw, place, *values)
    with pytest.raises(InputError, match=r"^a\.nii: ") as error:
        parse_header("a.nii", bytes(raw))
    assert error.value.code == code and "\n" not in str(error.value)


def test_metres_are_converted_and_noted() -> None:
    header = parse_header("a.nii", bytes(stored(affine=np.diag([0.002, 0.002, 0.004, 1.0]))))
    np.testing.assert_allclose(header.affine, AFFINE, rtol=1e-6)
    assert header.notes == ["its header counts in metres"]


def test_what_lies_behind_the_voxels_is_not_inflated() -> None:
    raw = bytes(stored())
    assert inflate("a.nii.gz", gzip.compress(raw)) == raw
    with pytest.raises(InputError, match="holds more than its header says"):
        inflate("a.nii.gz", gzip.compress(raw + bytes(1 << 22)))


@pytest.mark.parametrize("cut, code", [(-4, "truncated"), (40, "truncated")])
def test_gzip_that_ends_early(cut, code) -> None:
    packed = gzip.compress(bytes(stored()))
    with pytest.raises(InputError) as error:
        inflate("a.nii.gz", packed[:cut])
    assert error.value.code in (code, "unreadable")


def test_a_flipped_byte_fails_the_check_sum() -> None:
    packed = bytearray(gzip.compress(bytes(stored())))
    packed[-6] ^= 1  # of the stored check sum
    with pytest.raises(InputError, match="corrupt gzip data"):
        inflate("a.nii.gz", bytes(packed))
