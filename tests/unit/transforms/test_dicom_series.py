"""DICOM series: voxels and places as they were, whatever names say; what is not one volume is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from real_data import FOLDER, needs

from transforms.load import image_digest, read_header, read_image

# Oblique: the first axis runs to the patient's left, rows lean by 8 degrees; 0.7 x 0.9 x 3 mm.
ANGLE = np.deg2rad(8.0)
AFFINE = np.array([[-0.7, 0, 0, 31.5], [0, 0.9 * np.cos(ANGLE), -3 * np.sin(ANGLE), -20.25],
                   [0, 0.9 * np.sin(ANGLE), 3 * np.cos(ANGLE), 7.75], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(0, 3000, (12, 10, 6)).astype(np.int16)


def test_voxels_and_places_are_those_that_were_written(tmp_path: Path, make_series: Any) -> None:
    make_series(tmp_path / "dyn", VOXELS, AFFINE)
    image, header = read_image(tmp_path / "dyn"), read_header(tmp_path / "dyn")
    for index in ((0, 0, 0), (11, 9, 5), (3, 7, 2)):
        world = AFFINE @ [*index, 1]
        here = np.linalg.inv(image.affine) @ world
        assert np.allclose(here[:3], np.rint(here[:3]), atol=1e-4)
        assert image.array[tuple(np.rint(here[:3]).astype(int))] == VOXELS[index]
    assert header.shape == image.array.shape == (12, 10, 6) and np.array_equal(header.affine, image.affine)
    assert image.array.T.flags.c_contiguous and image_digest(tmp_path / "dyn") == image.digest


def test_names_and_instance_numbers_change_nothing(tmp_path: Path, make_series: Any) -> None:
    images = []
    for name, shuffle in (("a", 0), ("b", 5), ("c", 6)):
        make_series(tmp_path / name, VOXELS, AFFINE, shuffle=shuffle)
        images.append(read_image(tmp_path / name))
    for image in images[1:]:
        assert np.array_equal(image.array, images[0].array) and np.array_equal(image.affine, images[0].affine)
    copy = shutil.copytree(tmp_path / "a", tmp_path / "renamed")
    for i, path in enumerate(sorted(copy.iterdir(), reverse=True)):
        path.rename(copy / f"x{i}.dcm")
    assert read_image(copy).digest == images[0].digest != images[1].digest
    (copy / "LICENSE").write_text("not a slice")
    assert read_image(copy).digest == images[0].digest


def test_rescaling_is_applied_as_nifti_scaling_is(tmp_path: Path, make_series: Any) -> None:
    make_series(tmp_path / "s", VOXELS.astype(np.uint16), AFFINE, RescaleSlope="0.5", RescaleIntercept="-3")
    plain = make_series(tmp_path / "p", VOXELS.astype(np.uint16), AFFINE)
    assert plain
    scaled, stored = read_image(tmp_path / "s").array, read_image(tmp_path / "p").array
    assert scaled.dtype == np.float32 and np.array_equal(scaled, stored * np.float32(0.5) - np.float32(3))


@needs("mr_dicom_slice")
def test_a_real_slice_lies_where_its_header_says() -> None:
    folder = FOLDER / "mr_dicom_slice"
    path = next(folder.glob("*.dcm"))
    file = pydicom.dcmread(path)
    image = read_image(folder)
    assert image.array.shape == (320, 320, 1) and np.array_equal(image.array[..., 0].T, file.pixel_array)
    corner = np.array(file.ImagePositionPatient, float) * [-1, -1, 1]  # LPS to RAS
    assert np.allclose(image.affine[:3, 3], corner, atol=1e-4)
    across = np.array(file.ImageOrientationPatient[:3], float) * float(file.PixelSpacing[1]) * [-1, -1, 1]
    assert np.allclose(image.affine[:3, 0], across, atol=1e-6)
    assert np.linalg.norm(image.affine[:3, 2]) == pytest.approx(1.1, abs=1e-4)
