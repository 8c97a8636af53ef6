"""Reading images: voxels and affine as written, whatever the format, and a code for each kind of damage."""

from __future__ import annotations

import gzip
import hashlib

import itk
import nibabel as nib
import numpy as np
import pytest

from transforms.errors import InputError
from transforms.load import is_image, read_header, read_image

AFFINE = np.array([[-2.0, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def write(path, array=VOXELS, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f4", "u1"])
def test_nifti_as_nibabel_reads_it(tmp_path, name, dtype) -> None:
    path = tmp_path / name
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(VOXELS.astype(dtype), AFFINE, header), path)
    image, head = read_image(path), read_header(path)
    np.testing.assert_array_equal(image.array, VOXELS)
    assert image.array.dtype.isnative and image.array.T.flags.c_contiguous
    np.testing.assert_allclose(image.affine, AFFINE)
    assert head.shape == (2, 3, 4) and np.allclose(head.affine, AFFINE)
    assert image.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_headers_scaling_is_applied(tmp_path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.header.set_slope_inter(0.5, 10)
    nib.save(image, tmp_path / "a.nii.gz")
    expected = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    np.testing.assert_allclose(read_image(tmp_path / "a.nii.gz").array, expected)


@pytest.mark.parametrize("suffix", ["nrrd", "mha"])
def test_other_formats_by_itk_in_ras(tmp_path, suffix) -> None:
    image = itk.image_from_array(np.ascontiguousarray(VOXELS.T))
    image.SetSpacing([2.0, 3.0, 4.0])
    image.SetOrigin([5.0, 6.0, 7.0])  # LPS
    itk.imwrite(image, str(tmp_path / f"a.{suffix}"))
    found, head = read_image(tmp_path / f"a.{suffix}"), read_header(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(found.array, VOXELS)
    expected = [[-2, 0, 0, -5], [0, -3, 0, -6], [0, 0, 4, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(found.affine, expected)
    np.testing.assert_allclose(head.affine, expected)
    assert head.shape == (2, 3, 4)


def test_trailing_axes_of_one_are_dropped(tmp_path) -> None:
    assert read_image(write(tmp_path / "a.nii", VOXELS[..., None])).array.shape == (2, 3, 4)
    assert read_header(write(tmp_path / "b.nii", np.stack([VOXELS] * 2, -1))).shape == (2, 3, 4, 2)


def flipped(raw: bytes) -> bytes:
    return raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:]


@pytest.mark.parametrize(("damage", "code"), [
    (None, "missing"), (lambda raw: b"", "empty"), (lambda raw: raw[:-30], "truncated"), (flipped, "corrupt"),
    (lambda raw: b"no image at all" * 40, "unreadable"),
    (lambda raw: gzip.compress(gzip.decompress(raw)[:-8]), "truncated"),
])
def test_damage_has_a_code_and_names_the_file_alone(tmp_path, damage, code) -> None:
    path = write(tmp_path / "a.nii.gz")
    raw = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(raw))
    with pytest.raises(InputError, match=r"^a\.nii\.gz: ") as error:
        read_image(path)
    assert error.value.code == code and str(tmp_path) not in str(error.value) and "\n" not in str(error.value)


def test_names_of_images() -> None:
    assert [name for name in ("a.nii", "A.NII.GZ", "a.nrrd", "a.png", "a.txt", "a.gz", "nii") if is_image(name)] == [
        "a.nii", "A.NII.GZ", "a.nrrd", "a.png"]
