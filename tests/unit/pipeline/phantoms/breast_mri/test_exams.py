"""The synthetic breast MRI: the same for a seed, true in its geometry, malignant in the lesions alone."""

from __future__ import annotations

import csv
import hashlib
import json

import nibabel as nib
import numpy as np
import pytest

from pipeline.phantoms.breast_mri import exams as breast_mri

TINY = breast_mri.Preset((64, 64, 10), (4.8, 4.8, 12.0), (48, 48, 8), (6.4, 6.4, 15.0))


EXAM_COLUMNS = (
    "exam_id,patient_id,pre,post1,post2,post3,post4,t2,lesions_mask,left_malignant,left_benign,right_malignant,"
    "right_benign,group_density,reader1_left,reader1_right"
)


LESION_COLUMNS = "exam_id,lesion_id,side,x_mm,y_mm,z_mm,malignant,diameter_mm,kinetics,margin"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return breast_mri.write_cohort(tmp_path_factory.mktemp("cohort") / "a", TINY, exams=4, seed=5, workers=1,
                                   progress=False)


def test_tables_and_images_say_the_same(written):
    rows = list(csv.DictReader((written / "exams.csv").open()))
    lesions = list(csv.DictReader((written / "lesions.csv").open()))
    assert (written / "exams.csv").read_text().splitlines()[0] == EXAM_COLUMNS
    assert (written / "lesions.csv").read_text().splitlines()[0] == LESION_COLUMNS
    assert [row["exam_id"] for row in rows] == ["E0001", "E0002", "E0003", "E0004"]
    assert lesions
    for row in rows:
        pre, t2 = nib.load(written / row["pre"]), nib.load(written / row["t2"])
        mask = nib.load(written / "exams" / row["exam_id"] / "lesions_mask.nii.gz")
        assert pre.shape == mask.shape == (64, 64, 10) and t2.shape == (48, 48, 8)
        assert pre.get_data_dtype() == np.int16 and mask.get_data_dtype() == np.uint8
        assert nib.aff2axcodes(pre.affine) == nib.aff2axcodes(t2.affine) == ("L", "P", "S")
        assert np.allclose(mask.affine, pre.affine) and not np.allclose(t2.affine[:3, 3], pre.affine[:3, 3])
        direction = pre.affine[:3, :3] / [4.8, 4.8, 12]
        assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-5)
        assert 0.2 < np.degrees(np.arccos((-direction[0, 0] - direction[1, 1] + direction[2, 2] - 1) / 2)) < 4
        own = [x for x in lesions if x["exam_id"] == row["exam_id"]]
        array = np.asanyarray(mask.dataobj)
        assert set(np.unique(array)) == {0, *(int(x["lesion_id"]) for x in own)}
        for x in own:
            point = np.array([float(x[f"{axis}_mm"]) for axis in "xyz"] + [1])
            voxel = np.rint(np.linalg.inv(pre.affine) @ point)[:3].astype(int)
            assert array[tuple(voxel)] == int(x["lesion_id"])
            in_t2 = (np.linalg.inv(t2.affine) @ point)[:3]
            assert (in_t2 > 0).all() and (in_t2 < np.array(t2.shape) - 1).all()
        for side, name in (("L", "left"), ("R", "right")):
            for malignant, label in (("1", "malignant"), ("0", "benign")):
                expected = any(x["side"] == side and x["malignant"] == malignant for x in own)
                assert row[f"{name}_{label}"] == str(int(expected))


def test_a_version_s_bytes_are_its_own(tmp_path):
    """Cohorts that users have stay theirs: images, tables and the marker, as an earlier version wrote them.

    Whoever means to draw others raises VERSION first: tables of two drawings are not to be taken for one's.
    """
    folder = breast_mri.write_cohort(tmp_path / "a", TINY, exams=2, seed=5, workers=1, progress=False)
    known = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("README.txt", "phantom.json"):
            known.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    told = json.loads((folder / "phantom.json").read_text())
    assert (told.pop("generator"), known.hexdigest()) == (
        "breast_mri/2", "0d714ba677838bba7e1f5254338ea4ba3815575b3e9eb1d75cb2af24536f8244")
    assert told == {"preset": "custom", "seed": 5, "exams": 2, "shape": [64, 64, 10], "spacing": [4.8, 4.8, 12.0],
                    "t2_shape": [48, 48, 8], "t2_spacing": [6.4, 6.4, 15.0]}  # as from before presets had shares


def test_matrices_differ_from_exam_to_exam_in_one_field_of_view(tmp_path):
    preset = breast_mri.Preset((32, 32, 6), (9.6, 9.6, 20.0), (16, 16, 4), (19.2, 19.2, 30.0), 4,
                               {"malignant": 0.0, "none": 1.0}, ((24, 24, 5), (40, 40, 8)))
    folder = breast_mri.write_cohort(tmp_path / "a", preset, seed=1, workers=1, progress=False)
    images = [nib.load(folder / f"exams/E000{i}/post2.nii.gz") for i in range(1, 5)]
    assert len({image.shape for image in images}) > 2
    for image in images:
        assert 24 <= image.shape[0] == image.shape[1] <= 40 and 5 <= image.shape[2] <= 8
        size = np.linalg.norm(image.affine[:3, :3], axis=0) * image.shape
        assert np.allclose(size, [307.2, 307.2, 120], rtol=1e-4)
    told = json.loads((folder / "phantom.json").read_text())
    assert told["shares"] == {"malignant": 0.0, "none": 1.0} and told["shapes"] == [[24, 24, 5], [40, 40, 8]]
    assert "0% of the breasts are malignant, 100% hold no lesion" in (folder / "README.txt").read_text()


def test_thin_slices():
    preset = breast_mri.PRESETS["thin"]
    assert preset.shape == (448, 448, 160) and preset.spacing[2] == 1.0
