"""An exam on disk: which file is which contrast, in which order they are read, and what is refused."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from transforms.breast_mri.exam_files import find_contrasts, read_contrasts, same_grid
from transforms.errors import InputError
from transforms.grid import Grid


def write(path, value: float = 0, shape=(3, 3, 3), dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full(shape, value, dtype), np.eye(4)), path)
    return path


def test_a_folder_a_mapping_a_list_and_a_file(tmp_path) -> None:
    pre, t2 = write(tmp_path / "E1" / "Pre.nii.gz"), write(tmp_path / "E1" / "t2.nii")
    both = {"pre": pre, "t2": t2}
    assert find_contrasts(tmp_path / "E1", ["pre", "t2"]) == both
    assert find_contrasts({**both, "post1": "x"}, ["pre", "t2"]) == both
    assert find_contrasts([pre, t2], ["pre", "t2"]) == both
    assert find_contrasts(pre, ["pre", "t2"]) == pre  # one file for all
    for exam, message in ((tmp_path / "E2", "E2: no such exam"), (tmp_path / "E1", "E1: no image for post1"),
                          ([pre], "1 images given, 2 expected"), ({"pre": pre}, "^no image for post1")):
        with pytest.raises(InputError, match=message):
            find_contrasts(exam, ["pre", "post1"])


def test_phases_are_read_before_t2_in_their_order(tmp_path) -> None:
    for value, name in enumerate(("t2", "post1", "pre")):
        write(tmp_path / "E1" / f"{name}.nii.gz", value)
    found = [(contrast, name, int(image.array.max())) for contrast, name, image in
             read_contrasts(tmp_path / "E1", ["t2", "post1", "pre"])]
    assert found == [("post1", "post1.nii.gz", 1), ("pre", "pre.nii.gz", 2), ("t2", "t2.nii.gz", 0)]


def test_volumes_of_one_file_are_the_channels_in_order(tmp_path) -> None:
    nib.save(nib.Nifti1Image(np.stack([np.full((2, 2, 2), v) for v in (5, 6, 7)], -1).astype(np.int16), np.eye(4)),
             tmp_path / "a.nii.gz")
    found = {contrast: (name, int(image.array.max())) for contrast, name, image in
             read_contrasts(tmp_path / "a.nii.gz", ["t2", "pre", "post1"])}
    assert found == {"pre": ("a.nii.gz, volume 1", 6), "post1": ("a.nii.gz, volume 2", 7),
                     "t2": ("a.nii.gz, volume 0", 5)}
    with pytest.raises(InputError, match=r"a\.nii\.gz: holds 3 volumes, 2 expected: pre, post1"):
        list(read_contrasts(tmp_path / "a.nii.gz", ["pre", "post1"]))


@pytest.mark.parametrize(("shape", "value", "code"), [((3, 3), 0, "not_3d"), ((3, 3, 3), np.nan, "non_finite")])
def test_images_that_cannot_be_used(tmp_path, shape, value, code) -> None:
    write(tmp_path / "E1" / "pre.nii.gz", value, shape, np.float32)
    with pytest.raises(InputError, match=r"^pre\.nii\.gz: ") as error:
        list(read_contrasts(tmp_path / "E1", ["pre"]))
    assert error.value.code == code


def test_a_grid_of_its_own_is_refused() -> None:
    first = Grid((3, 3, 3), np.eye(4))
    same_grid("post1", Grid((3, 3, 3), np.eye(4)), first)
    for other in (Grid((3, 3, 4), np.eye(4)), Grid((3, 3, 3), np.diag([1, 1, 1.1, 1]))):
        with pytest.raises(InputError, match=r"post1: its grid differs .*shape \(3, 3"):
            same_grid("post1", other, first)
