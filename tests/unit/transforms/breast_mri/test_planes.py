"""The plane of an exam's slices: every order of a file's axes gives one grid, other planes are named or refused."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from transforms import InputError, LoadLesionSlices
from transforms.breast_mri.planes import canonical_view, slice_grid
from transforms.grid import Grid


@pytest.mark.parametrize(("order", "signs"), [(order, signs) for order in permutations(range(3))
                                              for signs in product((1, -1), repeat=3)])
def test_every_order_of_axes_gives_the_same_voxels(order, signs) -> None:
    array = np.arange(6 * 5 * 4).reshape(6, 5, 4)
    wanted = Grid(array.shape, np.array([[2.0, 0, 0, -5], [0, 2.0, 0, 7], [0, 0, 5.0, 1], [0, 0, 0, 1]]))
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for i, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        step[axis, i], step[axis, 3] = sign, step[axis, 3] + (array.shape[axis] - 1 if sign < 0 else 0)
    turned = np.transpose(array, order)[tuple(slice(None, None, sign) for sign in signs)]
    stored = Grid(turned.shape, wanted.affine @ step)
    found = slice_grid(stored)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found.affine, wanted.affine, atol=1e-12)
    view = canonical_view(turned, stored)
    np.testing.assert_array_equal(view, array)
    assert np.shares_memory(view, turned)


def test_cubes_may_be_cut_in_any_plane() -> None:
    grid = Grid((10, 20, 30), np.diag([1.0, 1.2, 1.0, 1.0]))
    assert slice_grid(grid, "sagittal").shape == (20, 30, 10)
    assert slice_grid(grid, "coronal").shape == (10, 30, 20)
    np.testing.assert_allclose(slice_grid(grid, "coronal").to_world([1, 2, 3]), [1, 3.6, 2])


def test_slices_in_another_plane_are_named_or_refused(tmp_path) -> None:
    """Sagittal slices of 5 mm with pixels of 1 mm: cut in their own plane, never in one where pixels are no squares."""
    random = np.random.default_rng(1)
    array = (500 + 100 * random.random((20, 60, 60))).astype(np.float32)
    array[:, :, :5] = 1
    folder = {}
    for name in ("pre", "post1", "post2"):
        folder[name] = tmp_path / f"{name}.nii"
        nib.save(nib.Nifti1Image(array, np.diag([5.0, 1, 1, 1])), folder[name])
    lesion = [("1", (50.0, 30.0, 25.0))]
    options = {"channels": ["pre"], "size": 8, "extent": 5.0, "iterations": []}
    for plane in ("axial", "coronal"):
        with pytest.raises(InputError, match=f"its slices are sagittal .*, not {plane}; set acquisition to sagittal"):
            LoadLesionSlices(**options, acquisition=plane)(folder, lesion)
    with pytest.raises(InputError, match="choose one of axial, sagittal, coronal"):
        LoadLesionSlices(**options, acquisition="oblique")(folder, lesion)
    meta = LoadLesionSlices(**options, acquisition="sagittal")(folder, lesion).meta
    assert [round(place.to_world(np.zeros(3))[0]) for place in meta["places"]["1"]] == [45, 50, 55]
    # Columns are y, rows z: 30 - 3.5 to even is 26, 25 - 3.5 is 22.
    patch = array[10, 26:34, 22:30].T
    np.testing.assert_allclose(meta["patches"]["1"][1, 0] / meta["patches"]["1"][1, 0].mean(), patch / patch.mean(),
                               rtol=1e-5)
