"""Masks beside their images: read, made of sizes, moved with them, and cut with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms import LoadLesionMaskd, RandLesionPatchd
from transforms.breast_mri.read_masks import ellipsoids
from transforms.errors import InputError

IMAGE = torch.zeros(2, 16, 12, 8)


def test_only_the_breasts_own_lesions_are_read(tmp_path) -> None:
    stored = np.zeros((1, 8, 12, 16), np.uint8)  # (1, Z, Y, X)
    stored[0, 2, 3, 4], stored[0, 5, 6, 7] = 1, 7  # 7 is of the other breast
    np.save(tmp_path / "m.npy", stored)
    found = LoadLesionMaskd()({"image": IMAGE, "mask": str(tmp_path / "m.npy"), "marks": [[1, 0]]})
    assert found["mask"].shape == (1, 16, 12, 8) and found["outlined"] is True
    assert found["mask"].nonzero().tolist() == [[0, 4, 3, 2]]


def test_a_damaged_or_foreign_mask_is_named(tmp_path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((1, 8, 12, 15), np.uint8))
    with pytest.raises(InputError, match=r"m\.npy: its shape is not that of the breast's image"):
        LoadLesionMaskd()({"image": IMAGE, "mask": str(tmp_path / "m.npy"), "marks": []})
    np.save(tmp_path / "m.npy", np.zeros((1, 8, 12, 16), np.float16))
    with pytest.raises(InputError, match=r"m\.npy: not what prepare.yaml writes \(four axes of uint8\)"):
        LoadLesionMaskd()({"image": IMAGE, "mask": str(tmp_path / "m.npy"), "marks": []})


def test_sizes_make_ellipsoids_and_say_nothing_of_outlines() -> None:
    extents = [[6.0, 5.0, 4.0, 5.0, 3.0, 1.0, 1], [6.0, 5.0, 4.0, 1.0, 1.0, 1.0, 0]]
    found = LoadLesionMaskd()({"image": IMAGE, "mask": None, "extents": extents})
    assert found["outlined"] is False and found["marks"] == [[1, 1], [2, 0]]
    x, y, z = (found["mask"][0] > 0).nonzero().T
    assert [(int(a.min()), int(a.max())) for a in (x, y, z)] == [(4, 8), (4, 6), (4, 4)]
    assert (found["mask"] == 2).nonzero().tolist() == [[0, 6, 5, 4]]  # the smaller lies over the larger
    healthy = LoadLesionMaskd()({"image": IMAGE, "mask": None, "extents": []})
    assert healthy["outlined"] is True and not healthy["mask"].any()


def test_a_lesion_flat_or_at_the_border_has_a_voxel() -> None:
    mask = ellipsoids([[0.4, 11.4, 3.5, 0.0, 0.0, 0.0, 1]], (16, 12, 8))
    assert np.argwhere(mask)[:, ::-1].tolist() in ([[0, 11, 3]], [[0, 11, 4]], [[0, 11, 3], [0, 11, 4]])


@pytest.mark.parametrize("shape", [(6, 6, 8), (32, 6, 4)])
def test_patches_hold_a_lesion_as_often_as_asked_and_image_and_mask_stay_together(shape) -> None:
    mask = torch.zeros(1, 16, 12, 8, dtype=torch.uint8)
    mask[0, 14:16, 0, 7], mask[0, 1, 11, 0] = 1, 2  # in two corners
    cut = RandLesionPatchd(["image", "mask"], shape, foreground=0.5)
    cut.set_random_state(seed=1)
    patches = [cut({"image": mask.float() * 10, "mask": mask}) for _ in range(400)]
    assert all(p["mask"].shape == (1, min(shape[0], 16), 6, shape[2]) for p in patches)
    assert all(torch.equal(p["image"], p["mask"].float() * 10) for p in patches)
    numbers = [set(p["mask"].unique().tolist()) - {0} for p in patches]
    assert sum(map(bool, numbers)) / 400 >= 0.5  # the others may hold one too
    assert min(sum(n in found for found in numbers) for n in (1, 2)) > 80  # each as often, whatever its size
    empty = cut({"image": IMAGE, "mask": torch.zeros(1, 16, 12, 8, dtype=torch.uint8)})
    assert not empty["mask"].any()
