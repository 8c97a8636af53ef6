"""What an evaluation writes of volumes: hot spots, boxes of lesions, candidates and a picture, worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from evaluation import evaluate, rows

from pipeline.breast_ultrasound.write_volumes import WriteVolumes
from pipeline.explain.stacks import load_stack
from pipeline.explain.windows import WindowMap
from pipeline.networks.center_point_resnet import CenterPointResNet
from transforms.grid import Grid

GRID = Grid((40, 30, 20), np.diag([-0.5, -0.25, 2.0, 1.0]))  # x, y, z = lateral, depth, sweep


@pytest.fixture(scope="module")
def network() -> CenterPointResNet:
    torch.manual_seed(0)
    return CenterPointResNet((4, 4, 8, 8)).eval()


def volume(name: str, centers: list[list[float]], mask: Any = None, **changed: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    return {"exam_id": name, "patient_id": "P1", "side": "L", "split": "test", "healthy": not centers,
            "centers": centers, "malignant": [1] * len(centers),
            "lesion_ids": [str(i + 1) for i in range(len(centers))],
            "mask": mask, "grid": GRID, "image": torch.rand(1, 1, 20, 30, 40), **changed}


def found() -> dict[str, Any]:
    """Windows 4 voxels apart from voxel (3, 3, 3); the highest, 0.9, at window (2, 1, 3): voxel (11, 7, 15)."""
    heat = np.full((9, 6, 4), 0.1, np.float32)
    heat[2, 1, 3] = 0.9
    return {"logits": torch.tensor([[float(np.log(9.0))]]),
            **WindowMap(heat, np.array([3.0, 3.0, 3.0]), np.array([4.0, 4.0, 4.0])).tensors()}


def test_spots_and_truth_are_in_millimetres(tmp_path, network, capsys) -> None:
    mask = np.zeros((40, 30, 20), np.uint8)
    mask[10:13, 5:9, 14:17] = 1
    nib.save(nib.Nifti1Image(mask, GRID.affine), tmp_path / "mask.nii.gz")
    center = [-5.5, -1.75, 30.0]  # voxel (11, 7, 15)
    writer = WriteVolumes(network, tmp_path, axes=("lateral", "depth", "sweep"))
    sick = volume("E1", [center], tmp_path / "mask.nii.gz")
    evaluate(writer, (sick, found()), (volume("E2", [], split="validation"), found()))
    first, second = json.loads((tmp_path / "volumes.json").read_text())
    assert (first["exam_id"], first["split"], first["healthy"], first["score"]) == ("E1", "test", False, 0.9)
    assert first["shape"] == [40, 30, 20] and first["centers"] == [center]
    assert first["boxes"] == [[[10, 5, 14], [12, 8, 16]]]  # first and last voxel
    *place, score = first["spots"][0]
    assert place == pytest.approx(center, abs=1.1) and score == pytest.approx(0.9, abs=1e-4)
    assert second["boxes"] is None and second["healthy"]
    table = rows(tmp_path / "candidates.csv")
    assert {row["public_id"] for row in table} == {"E1", "E2"}
    best = next(row for row in table if row["public_id"] == "E1")
    assert [float(best[f"coord{axis}"]) for axis in "ZYX"] == pytest.approx([11, 7, 15], abs=0.6)
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["E1.npz"]  # test alone
    assert capsys.readouterr().out.startswith("2 volumes in ")


def test_the_picture_is_the_slice_of_the_first_lesion(tmp_path, network) -> None:
    near, far = [-5.5, -1.75, 30.0], [-2.0, -5.0, 6.0]  # slices 15 and 3, of 2 mm
    case = volume("E1", [near, far], malignant=[1, None])
    evaluate(WriteVolumes(network, tmp_path), (case, found()))
    with np.load(tmp_path / "maps" / "E1.npz") as kept:
        np.testing.assert_array_equal(kept["image"], case["image"][0, 0, 15].half().numpy())
        assert kept["heat"].shape == kept["slab"].shape == (30, 40)  # depth, lateral
        assert kept["heat"][7, 11] == pytest.approx(0.9, abs=1e-3)
        assert kept["points"].tolist() == [[11, 7]] and kept["point_malignant"].tolist() == [1]
        assert (int(kept["label"]), float(kept["aspect"])) == (1, 0.5)


def test_a_lesion_that_the_mask_lacks_gives_no_boxes(tmp_path, network) -> None:
    nib.save(nib.Nifti1Image(np.ones((40, 30, 20), np.uint8), GRID.affine), tmp_path / "mask.nii.gz")
    case = volume("E1", [[-5.5, -1.75, 30.0]], tmp_path / "mask.nii.gz", lesion_ids=["7"])
    evaluate(WriteVolumes(network, tmp_path, maps=0), (case, found()))
    assert json.loads((tmp_path / "volumes.json").read_text())[0]["boxes"] is None
    assert not (tmp_path / "maps").exists()


def test_slices_of_test_volumes_are_kept_where_asked(tmp_path, network) -> None:
    center = [-5.5, -1.75, 30.0]  # voxel (11, 7, 15)
    writer = WriteVolumes(network, tmp_path, stacks=True)
    evaluate(writer, (volume("E1", [center]), found()), (volume("E2", [], split="validation"), found()))
    (path,) = (tmp_path / "stacks").iterdir()
    kept = load_stack(path)
    assert kept.names == {"exam_id": "E1", "side": "L"} and kept.image.shape == (20, 30, 40)
    assert kept.numbers.tolist() == list(range(20)) and kept.total == 20 and kept.aspect == 0.5
    np.testing.assert_allclose(kept.points, [[11, 7, 15]], atol=1e-5)
    assert kept.heat is not None  # the highest window's voxel is (11, 7, 15); `heat` is slice, row, column
    assert np.unravel_index(kept.heat.argmax(), kept.heat.shape) == (15, 7, 11)
