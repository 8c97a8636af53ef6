"""Whole exams as stacks: voxels as the files have them, in one orientation, on one scale; and the seven inputs."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms import InputError, LoadSliceStack, LoadSliceStackd, PhaseInputd
from transforms.breast_mri.slice_stacks import INPUTS, PHASES, phases_of, phases_to_read

AFFINE = np.array([[-2.0, 0, 0, 11], [0, -2.0, 0, 9], [0, 0, 5.0, -10], [0, 0, 0, 1]])  # L, P, S


def write(folder, shape=(12, 10, 5), affine=AFFINE, **voxels):
    """Phases that are tissue of 100 times their number in the front half, air behind; and single bright voxels."""
    paths = {}
    for number, name in enumerate(PHASES, start=1):
        array = np.ones(shape, np.float32)
        array[:, : shape[1] // 2] = 100 * number
        for place, value in voxels.get(name, {}).items():
            array[place] = value
        paths[name] = folder / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(array, affine), paths[name])
    return paths


def test_voxels_are_permuted_and_scaled_alone(tmp_path) -> None:
    """The file runs to L, P, S: the stack's x and y run the other way, z the same. Tissue of `pre` becomes 1."""
    stack = LoadSliceStack()(write(tmp_path, post2={(1, 2, 4): 700.0}))
    assert stack.shape == (4, 12, 10, 5) and stack.as_tensor().permute(0, 3, 2, 1).is_contiguous()
    assert stack[2, 10, 7, 4] == pytest.approx(7.0) and stack.meta["scales"]["post2"] == pytest.approx(100.0)
    assert stack[:, 3, 9, 0].tolist() == pytest.approx([1, 2, 3, 4]) and stack[0, 0, 0, 0] == pytest.approx(0.01)
    there = stack.meta["stack_affine"] @ [10, 7, 4, 1]
    assert np.allclose(there, AFFINE @ [1, 2, 4, 1])
    assert (np.diag(stack.meta["stack_affine"])[:3] > 0).all()  # towards R, A and S
    assert tuple(stack.meta["spatial_shape"]) == (12, 10, 5) and stack.meta["missing"] == []


@pytest.mark.parametrize("flips", [(-1, -1, 1), (1, -1, 1), (1, 1, -1)])
def test_the_order_of_a_file_s_voxels_does_not_matter(tmp_path, flips) -> None:
    step = np.diag([*flips, 1.0])
    step[:3, 3] = [n - 1 if flip < 0 else 0 for n, flip in zip((12, 10, 5), flips, strict=True)]
    paths, turned = write(tmp_path, pre={(1, 2, 4): 300.0}), {}
    for name, path in paths.items():
        image = nib.load(path)
        array = image.get_fdata(dtype=np.float32)[tuple(slice(None, None, flip) for flip in flips)]
        turned[name] = tmp_path / f"turned_{path.name}"
        nib.save(nib.Nifti1Image(array, image.affine @ step), turned[name])
    first, second = (LoadSliceStack()(each) for each in (paths, turned))
    assert torch.allclose(first.as_tensor(), second.as_tensor())
    assert np.allclose(first.meta["stack_affine"], second.meta["stack_affine"])


def test_sizes_stay_and_one_slice_is_a_stack(tmp_path) -> None:
    for number, shape in enumerate([(16, 11, 7), (9, 14, 1)]):
        (tmp_path / str(number)).mkdir()
        assert LoadSliceStack()(write(tmp_path / str(number), shape)).shape == (4, *shape)


def test_a_phase_may_be_missing_but_the_first(tmp_path) -> None:
    paths = write(tmp_path)
    found = LoadSliceStackd("image")({"image": {k: p for k, p in paths.items() if k != "post1"}})
    assert found["image"].shape[0] == 3 and found["image"].meta["phases"] == ["pre", "post2", "post3"]
    assert found["image"].meta["missing"] == ["post1"] and set(found["facts"]) == {"pre", "post2", "post3"}
    del paths["pre"]
    with pytest.raises(InputError, match="no image for pre, which sets the scale"):
        LoadSliceStack()(paths)
    with pytest.raises(InputError, match=r"phases \['post1', 'pre'\]: give some of"):
        LoadSliceStack(["post1", "pre"])


def test_sagittal_series_are_refused_by_name(tmp_path) -> None:
    affine = np.array([[0, 0, 5.0, -50], [0.8, 0, 0, -4], [0, 0.8, 0, -4], [0, 0, 0, 1]])  # slices along x
    with pytest.raises(InputError, match=r"^pre.nii.gz: its slices are sagittal .*leave the exam out, or give"):
        LoadSliceStack()(write(tmp_path, affine=affine))


def test_slices_of_another_size_and_constant_phases_are_named(tmp_path) -> None:
    paths = write(tmp_path)
    nib.save(nib.Nifti1Image(np.ones((12, 8, 5), np.float32), AFFINE), paths["post2"])
    with pytest.raises(InputError, match=r"^post2.nii.gz: its grid differs"):
        LoadSliceStack()(paths)
    nib.save(nib.Nifti1Image(np.ones((12, 10, 5), np.float32), AFFINE), paths["post2"])
    with pytest.raises(InputError, match=r"^post2.nii.gz: is constant"):
        LoadSliceStack()(paths)


@pytest.mark.parametrize(("name", "phases", "read"), [
    ("t0", ["pre"], ["pre"]), ("t3", ["post3"], ["pre", "post3"]), ("t2-t0", ["pre", "post2"], ["pre", "post2"])])
def test_inputs_are_made_of_phases(name, phases, read) -> None:
    assert phases_of(name) == phases and phases_to_read(name) == read
    with pytest.raises(InputError, match="input 't4': choose one of t0, t1"):
        phases_of("t4")


@pytest.mark.parametrize("name", INPUTS)
def test_subtraction_is_signed(name) -> None:
    """From the phases alone, as training reads them, and with `pre` beside them, as inference does."""
    voxels = torch.tensor([3.0, 1.0, 4.0, 2.0]).reshape(4, 1, 1, 1)
    wanted = {"t0": 3, "t1": 1, "t2": 4, "t3": 2, "t1-t0": -2, "t2-t0": 1, "t3-t0": -1}[name]
    for phases in (phases_of(name), phases_to_read(name)):
        image = MetaTensor(voxels[[PHASES.index(phase) for phase in phases]])
        found = PhaseInputd("image", name)({"image": image})["image"]
        assert found.shape == (1, 1, 1, 1) and float(found) == wanted
    with pytest.raises(InputError, match="made of"):
        PhaseInputd("image", name)({"image": voxels})
