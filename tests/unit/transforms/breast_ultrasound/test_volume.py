"""Volumes: their axes, spacing and grey values."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipeline.phantoms.cohort import nrrd_bytes
from transforms import InputError, LoadVolumed
from transforms.breast_ultrasound.volume import read_volume

AFFINE = np.array([[-0.5, 0, 0, 40.0], [0, -0.1, 0, 90.0], [0, 0, 1.5, -20.0], [0, 0, 0, 1]])


@pytest.fixture
def volume(tmp_path):
    """60 × 50 × 30 voxels (lateral, depth, sweep), dark but for one bright voxel at (42, 17, 21)."""
    array = np.random.default_rng(0).integers(1, 20, (60, 50, 30)).astype(np.uint8)
    array[42, 17, 21] = 255
    path = tmp_path / "volume.nrrd"
    path.write_bytes(nrrd_bytes(np.asfortranarray(array), AFFINE))
    return path, array, (AFFINE @ [42, 17, 21, 1])[:3]


def test_a_lost_spacing_is_refused_or_given(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (20, 16, 12)).astype(np.uint8)
    path = tmp_path / "bare.nrrd"
    path.write_bytes(nrrd_bytes(array, np.diag([-1.0, -1, 1, 1])))
    with pytest.raises(InputError, match="lost the spacing"):
        read_volume(path)
    assert read_volume(path, spacing_mm=[0.2, 0.073, 0.475674])[1].spacing.tolist() == [0.2, 0.073, 0.475674]
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(array[:, :, 0], np.diag([0.2, 0.1, 1, 1])), flat)
    with pytest.raises(InputError, match="no volume"):
        read_volume(flat)


def test_volumes_are_read_once_and_scaled(volume, tmp_path):
    path, array, _ = volume
    read = LoadVolumed("image")({"image": path})
    assert read["image"].shape == (1, 30, 50, 60) and float(read["image"].max()) == 1.0
    np.testing.assert_allclose(read["grid"].affine, AFFINE, atol=1e-5)
    wide = tmp_path / "wide.nii.gz"
    nib.save(nib.Nifti1Image((array.astype(np.int16) * 100), AFFINE), wide)
    scaled = LoadVolumed("image")({"image": wide})["image"]
    assert float(scaled.min()) >= 0 and float(scaled.max()) == 1.0
