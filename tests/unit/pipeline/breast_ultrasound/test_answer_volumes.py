"""Volumes as a user has them: which are found, and what is written of each."""

from __future__ import annotations

import csv
import json

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.answers import collate
from pipeline.breast_ultrasound.answer_volumes import SaveVolumed, VolumeResultd, find
from pipeline.errors import InputError
from pipeline.explain.windows import WindowMap
from pipeline.networks.center_point_resnet import CenterPointResNet
from transforms.grid import Grid


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), path)
    return path


def test_files_folders_and_known_centres(tmp_path) -> None:
    image(tmp_path / "v" / "a.nii.gz"), image(tmp_path / "v" / "E2" / "image.nii.gz")
    image(tmp_path / "v" / "E2" / "other.nii.gz"), image(tmp_path / "v" / "lesions_mask.nii.gz")
    (tmp_path / "centers.csv").write_text("exam_id,x_mm,y_mm,z_mm\nE2,1,2,3\nE2,4,5,6\nE9,0,0,0\n")
    found = {case["exam_id"]: case["centers"] for case in find(tmp_path / "v", tmp_path / "centers.csv")}
    assert found == {"a": [], "E2": [[1, 2, 3], [4, 5, 6]]}
    assert [case["exam_id"] for case in find(tmp_path / "v" / "a.nii.gz")] == ["a"]
    (tmp_path / "empty").mkdir()
    for path, message in ((tmp_path / "none", "no such volume"), (tmp_path / "empty", "holds no image")):
        with pytest.raises(InputError, match=message):
            find(path)


@pytest.mark.parametrize("text", [None, "exam_id,x_mm,y_mm\nE1,1,2\n", "exam_id,x_mm,y_mm,z_mm\nE1,1,2,deep\n"])
def test_tables_of_centres_that_cannot_be_used(tmp_path, text) -> None:
    image(tmp_path / "v" / "a.nii.gz")
    if text:
        (tmp_path / "centers.csv").write_text(text)
    with pytest.raises(InputError, match=r"centers\.csv"):
        find(tmp_path / "v", tmp_path / "centers.csv")


def test_the_answer_lies_on_the_volumes_own_grid(tmp_path, capsys) -> None:
    grid = Grid((16, 12, 8), np.diag([-0.5, -0.25, 2.0, 1.0]))
    heat = np.full((4, 3, 2), 0.2, np.float32)
    heat[1, 2, 1] = 0.8  # window middles at voxels 2, 6, 10, …: voxel (6, 10, 6)
    found = {"logits": torch.tensor([[float(np.log(4.0))]]),
             **WindowMap(heat, np.array([2.0, 2.0, 2.0]), np.array([4.0, 4.0, 4.0])).tensors()}
    torch.manual_seed(0)
    meta = {"original_affine": grid.affine, "spatial_shape": grid.shape, "digests": {"image": "1"}}
    case = {"image": MetaTensor(torch.rand(1, 8, 12, 16), meta=meta), "exam_id": "E1", "grid": grid,
            "volume_grid": grid, "centers": [[-3.0, -2.5, 12.0]]}
    network = CenterPointResNet((4, 4, 8, 8)).eval()
    answered = VolumeResultd("answer")({**collate([case]), "answer": found})
    SaveVolumed("answer", network, tmp_path)(answered)
    stored = nib.load(tmp_path / "E1_heatmap.nii.gz")
    voxels = stored.get_fdata()
    assert voxels.shape == (16, 12, 8) and np.unravel_index(voxels.argmax(), voxels.shape) == (6, 10, 6)
    assert voxels.max() == pytest.approx(0.8, abs=1 / 255) and voxels[0, 0, 0] == pytest.approx(0.2, abs=1 / 255)
    np.testing.assert_allclose(stored.affine, grid.affine)
    result = json.loads((tmp_path / "E1_result.json").read_text())
    assert result["probability"] == 0.8 and result["exam_id"] == "E1"
    assert result["candidates"][0]["center_mm"] == pytest.approx([-3.0, -2.5, 12.0], abs=1.1)
    with (tmp_path / "E1_candidates.csv").open() as file:
        first = next(csv.DictReader(file))
    assert [float(first[f"coord{axis}"]) for axis in "ZYX"] == pytest.approx([6, 10, 6], abs=0.6)
    assert matplotlib.image.imread(tmp_path / "E1_preview.png").std() > 0.05
    assert "E1: probability of a lesion 0.800" in capsys.readouterr().out
    del answered["exam_id"]  # from a server, which sends the answer itself
    assert SaveVolumed("answer", network, tmp_path / "other")(answered) == answered
    assert not (tmp_path / "other").exists()


def test_the_map_is_on_the_files_own_grid_whatever_its_axes_and_spacing(tmp_path) -> None:
    """A file of (sweep, lateral, depth), resampled to half the voxels: the map has the file's."""
    from transforms import LoadVolumed

    affine = np.diag([2.0, -0.5, -0.25, 1.0])
    array = np.random.default_rng(0).integers(1, 255, (8, 16, 12)).astype(np.uint8)
    nib.save(nib.Nifti1Image(array, affine), tmp_path / "v.nii.gz")
    axes = ("sweep", "lateral", "depth")
    data = LoadVolumed("image", axes=axes, spacing=(4.0, 0.5, 1.0))({"image": str(tmp_path)})  # the folder's only file
    assert data["image"].shape == (1, 4, 6, 8)
    heat = np.zeros((8, 6, 4), np.float32)
    heat[5, 1, 2] = 0.8  # windows on every voxel: (lateral, depth, sweep)
    data["pred"] = {"logits": torch.zeros(1), **WindowMap(heat, np.zeros(3), np.ones(3)).tensors()}
    pred = VolumeResultd("pred", axes=axes)(data)["pred"]
    assert pred.shape == (1, 8, 16, 12)
    np.testing.assert_allclose(pred.affine, affine)
    # Voxel n of the coarse grid is between 2n and 2n + 1 of the file: of (sweep, lateral, depth) 4.5, 10.5, 2.5.
    hottest = np.argwhere(pred[0].numpy() >= pred.max().item() - 1e-6).mean(axis=0)
    np.testing.assert_allclose(hottest, [4.5, 10.5, 2.5])
