"""Prepared arrays: the stored order, patches around lesions, labels inside the patch."""

from __future__ import annotations

import numpy as np
import pytest

from transforms import InputError, LoadPreparedd


@pytest.fixture
def stored(tmp_path):
    """Voxel (c, x, y, z) holds c·1000 + z·100 + y·10 + x; 8×6×4 voxels, two channels."""
    c, z, y, x = np.meshgrid(range(2), range(4), range(6), range(8), indexing="ij")
    path = tmp_path / "E1_L.npy"
    np.save(path, (c * 1000 + z * 100 + y * 10 + x).astype(np.float16))
    return path


def test_public_order_is_x_y_z_on_memory_z_y_x(stored) -> None:
    image = LoadPreparedd("image")({"image": stored})["image"]
    assert image.shape == (2, 8, 6, 4)
    assert image[1, 5, 3, 2] == 1235
    assert image.permute(0, 3, 2, 1).is_contiguous()


def test_damaged_and_missing_arrays_name_the_remedy(stored, tmp_path) -> None:
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(InputError, match=r"E1_L\.npy.*damaged.*prepare"):
        LoadPreparedd("image")({"image": stored})
    with pytest.raises(InputError, match=r"E2_L\.npy.*missing.*prepare"):
        LoadPreparedd("image")({"image": tmp_path / "E2_L.npy"})
