"""Lesions of a user's exam: found in a table, put back in the exam, and written."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.answers import collate
from pipeline.breast_mri.answer_lesions import FindLesionsd, LesionsResultd, SaveLesionsd, StackPatchesd, find
from pipeline.errors import InputError
from transforms.grid import Grid


@pytest.fixture
def exams(tmp_path):
    for name in ("E1", "E2"):
        (tmp_path / "exams" / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4)), tmp_path / "exams" / name / "pre.nii.gz")
    return tmp_path / "exams"


def test_lesions_are_those_of_the_exam(exams, tmp_path) -> None:
    table = tmp_path / "lesions.csv"
    table.write_text("exam_id,lesion_id,x_mm,y_mm,z_mm\nE1,a,1,2,3\nE3,a,1,2,3\nE1,b,-4.5,5,6\n")
    (found,) = find(exams, table, ["pre"])  # E2 has none
    assert found["exam_id"] == "E1" and found["lesions"] == [("a", (1.0, 2.0, 3.0)), ("b", (-4.5, 5.0, 6.0))]
    table.write_text("x_mm,y_mm,z_mm\n1,2,3\n4,5,6\n")  # one exam, no ids: counted from 1
    (found,) = find(exams / "E2", table, ["pre"])
    assert [name for name, _ in found["lesions"]] == ["1", "2"]


@pytest.mark.parametrize("text", ["exam_id,x_mm,y_mm\nE1,1,2\n", "x_mm,y_mm,z_mm\n1,2,3\n", "", None,
                                  "exam_id,x_mm,y_mm,z_mm\nE1,1,2,high\n", "exam_id,x_mm,y_mm,z_mm\nE9,1,2,3\n"],
                         ids=["column", "exam_id", "empty", "missing", "number", "other exam"])
def test_tables_that_cannot_be_used_are_one_line(exams, tmp_path, text) -> None:
    table = tmp_path / "lesions.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(InputError, match=r"lesions\.csv") as error:
        find(exams, table, ["pre"])
    assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)


def test_patches_come_back_where_they_were(tmp_path, capsys) -> None:
    """Two slices of lesion a and one of b, patches of 4 voxels; b's reaches over the border."""
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    exam = MetaTensor(torch.zeros(1, 12, 10, 5), meta={"original_affine": affine, "spatial_shape": [12, 10, 5]})
    given = {"image": exam, "exam_id": "E1",
             "lesions": [("a", (1.0, 2.0, 3.0)), ("b", (4.0, 5.0, 6.0)), ("c", (7.0, 8.0, 9.0))],
             "patches": {"a": torch.rand(2, 3, 4, 4), "b": torch.rand(1, 3, 4, 4)},
             "places": {name: [Grid((4, 4, 1), affine).cropped(corner, (4, 4, 1)) for corner in corners]
                        for name, corners in {"a": [(2, 3, 1), (2, 3, 2)], "b": [(-1, 8, 4)]}.items()}}
    data = collate([StackPatchesd("image")(given)])
    assert data["image"].shape == (1, 3, 3, 4, 4) and data["slice_of"] == ["a", "a", "b"]
    heat = torch.zeros(3, 4, 4)
    heat[0, 1, 2] = 0.6  # row 1, column 2: voxel (2 + 2, 3 + 1, 1)
    heat[2, :, 0], heat[2, 0, 1] = 1.0, 0.3  # column 0 is outside
    data["answer"] = {"logits": torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]]), "heatmap": heat}
    data = LesionsResultd("answer", threshold=0.9)(data)
    SaveLesionsd("answer", tmp_path)(data)
    result = json.loads((tmp_path / "E1_result.json").read_text())
    assert result["decision"] == {"threshold": 0.9, "positive": False}
    assert result["lesions"]["a"] == {"center_mm": [1, 2, 3], "probability": 0.880797,
                                      "slices": {"1": 0.731059, "2": 0.880797}}
    assert result["probability"] == 0.880797 and result["not_scored"] == ["c"]
    image = nib.load(tmp_path / "E1_heatmap.nii.gz")
    expected = np.zeros((12, 10, 5), np.float32)
    expected[4, 4, 1], expected[0, 8, 4] = 0.6, 0.3
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), expected)
    np.testing.assert_array_equal(image.affine, affine)
    assert "not scored, another lesion is on each of their slices: c" in capsys.readouterr().out


def test_nothing_left_to_score(tmp_path) -> None:
    with pytest.raises(InputError, match="every patch holds several lesions"):
        StackPatchesd("image")({"image": None, "patches": {}, "places": {}})


def markups(path, points, system="LPS"):
    path.write_text(json.dumps({"markups": [{"coordinateSystem": system, "controlPoints": [
        {"label": label, "position": point} for label, point in points]}]}))
    return path


def test_points_of_3d_slicer_serve_one_exam(exams, tmp_path) -> None:
    points = markups(tmp_path / "E1.mrk.json", [("a", [1, 2, 3]), ("b", [-4, 5, 6])])
    (found,) = find(exams / "E1", points, ["pre"])
    assert found["lesions"] == [("a", (-1.0, -2.0, 3.0)), ("b", (4.0, -5.0, 6.0))]
    with pytest.raises(InputError, match=r"E1\.mrk\.json: one exam's points, 2 exams are given"):
        find(exams, points, ["pre"])


def test_centres_come_from_the_request_or_from_beside_the_exam(exams, tmp_path) -> None:
    look, exam = FindLesionsd("image"), exams / "E1"
    assert look({"image": str(exam), "lesions": [[1, 2, 3], [4, 5, 6.5]]})["lesions"] == [
        ("1", (1.0, 2.0, 3.0)), ("2", (4.0, 5.0, 6.5))]
    (exams / "E1.lesions.csv").write_text("lesion_id,x_mm,y_mm,z_mm\nq,1,2,3\n")
    assert look({"image": str(exam)})["lesions"] == [("q", (1.0, 2.0, 3.0))]
    assert look({"image": [str(exams / "E1.nii.gz")]})["lesions"] == [("q", (1.0, 2.0, 3.0))]
    markups(exam / "F.mrk.json", [("F 1", [1, 2, 3]), ("F 2", [4, 5, 6])], "RAS")  # labels that are no names
    with pytest.raises(InputError, match=r"E1: 2 files say where its lesions are; put one E1\.lesions\.csv"):
        look({"image": exam})
    (exams / "E1.lesions.csv").unlink()
    assert look({"image": exam})["lesions"] == [("1", (1.0, 2.0, 3.0)), ("2", (4.0, 5.0, 6.0))]


@pytest.mark.parametrize(("lesions", "message"), [
    (None, "E2: nothing says where its lesions are; put one"), ([], "there is none"), ([[1, 2]], "give each centre as"),
    ("1,2,3", "give each centre as"), ([[1, 2, float("nan")]], "give each centre as"), ([[1, 2, True]], "give each")])
def test_an_exam_without_usable_centres_is_refused(exams, lesions, message) -> None:
    with pytest.raises(InputError, match=message):
        FindLesionsd("image")({"image": str(exams / "E2"), "lesions": lesions})
