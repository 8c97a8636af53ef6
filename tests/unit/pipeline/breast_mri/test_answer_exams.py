"""Exams as a user has them: which are found, and what is written of each."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.breast_mri.answer_exams import SaveResultd, find
from pipeline.errors import InputError


def exam(folder, names=("pre", "post1")):
    folder.mkdir(parents=True)
    for name in names:
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), folder / f"{name}.nii.gz")
    return folder


def test_one_exam_a_folder_of_exams_and_a_4d_file(tmp_path) -> None:
    one = exam(tmp_path / "many" / "E2")
    exam(tmp_path / "many" / "E1", ("PRE", "Post1", "note"))
    channels = ["pre", "post1"]
    assert find(one, channels) == [{"image": str(one), "exam_id": "E2"}]
    assert [case["exam_id"] for case in find(tmp_path / "many", channels)] == ["E1", "E2"]
    (whole,) = find(one / "pre.nii.gz", channels)  # one file: all contrasts are in it
    assert whole["exam_id"] == "pre"


@pytest.mark.parametrize(("make", "message"), [
    (lambda folder: folder / "none", "none: no such exam; give a folder"),
    (lambda folder: folder, "holds no image; expected pre, post1"),
    (lambda folder: exam(folder / "E1", ("pre",)), "E1: no image for post1"),
])
def test_what_is_not_there_is_named(tmp_path, make, message) -> None:
    with pytest.raises(InputError, match=message):
        find(make(tmp_path), ["pre", "post1"])


def test_the_answer_lies_on_the_exams_own_grid(tmp_path, capsys) -> None:
    affine = np.array([[-2.0, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
    heat = MetaTensor(torch.rand(1, 6, 5, 4), meta={"original_affine": affine})
    result = {"probability": 0.7, "probabilities": {"L": 0.7, "R": 0.2}}
    meta = {"breast_affines": [affine, affine], "spatial_shape": (6, 5, 4), "original_affine": affine}
    data = {"exam_id": "E1", "heat": heat, "image": MetaTensor(torch.rand(2, 1, 8, 8, 4), meta=meta),
            "heatmap_breasts": torch.rand(2, 8, 8, 4), "result": result}
    save = SaveResultd("heat", tmp_path / "out")
    save(data)
    image = nib.load(tmp_path / "out" / "E1_heatmap.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), heat[0].numpy())
    np.testing.assert_array_equal(image.affine, affine)
    assert json.loads((tmp_path / "out" / "E1_result.json").read_text()) == {
        "exam_id": "E1", **result, "source": None}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "E1_heatmap.nii.gz", "E1_preview.png", "E1_result.json"]
    assert '{"L": 0.7, "R": 0.2}' in capsys.readouterr().out
    del data["exam_id"]  # from a server, which sends the answer itself
    assert SaveResultd("heat", tmp_path / "other")(data) == data and not (tmp_path / "other").exists()
