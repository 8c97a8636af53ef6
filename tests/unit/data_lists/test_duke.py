"""The Duke converter on trees of its two layouts, with turned rows and instance numbers that run either way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load
from pipeline.verify import verify

SHAPE = (20, 16, 6)
FIRST, LAST = np.array([3, 4, 1]), np.array([6, 9, 3])  # the box, in voxels along the axes as written, inclusive


def grid(turned: str = "", down: bool = False) -> np.ndarray:
    """Voxel to RAS: columns run to the patient's left and rows to posterior, as scanners write; or turned."""
    steps = np.diag([-4.0, -4.0, 5.0])  # RAS
    if turned == "half":  # (-1, 0, 0, 0, -1, 0)
        steps = np.diag([4.0, 4.0, 5.0])
    if turned == "odd":  # (-1, 0, 0, 0, 1, 0), patient 127
        steps = np.diag([4.0, -4.0, 5.0])
    if down:
        steps[2, 2] *= -1
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = -steps @ ((np.array(SHAPE) - 1) / 2) + [1.5, -7.0, 11.0]
    return affine


# patient: grid, side of the tumour, bilateral, phases
PATIENTS: dict[str, tuple[np.ndarray, str, object, tuple[str, ...]]] = {
    "Breast_MRI_001": (grid(), "R", 0, ("pre", "post_1", "post_2", "post_3", "post_4")),
    "Breast_MRI_002": (grid(down=True), "R", 1, ("pre", "post_1", "post_2", "post_3")),
    "Breast_MRI_127": (grid("odd", down=True), "L", "NC", ("pre", "post_1", "post_2")),
    "Breast_MRI_900": (grid("half"), "L", 0, ("pre", "post_1", "post_2")),
    "Breast_MRI_901": (grid("half"), "R", 0, ("pre", "post_1")),  # the box is on the other side
}


def sheet(path: Path, rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)


@pytest.fixture
def duke(tmp_path: Path, make_series: Callable[..., str]) -> Path:
    """The first two patients in the classic layout, the others in the descriptive one."""
    root = tmp_path / "duke"
    mapping, boxes, clinical = [], [], []
    for number, (patient, (affine, side, bilateral, phases)) in enumerate(PATIENTS.items()):
        for k, phase in enumerate((*phases, "T1")):
            uid = f"1.3.6.{number}.{k}"
            classic = f"Duke-Breast-Cancer-MRI/{patient}/1.2.3/{uid}"
            folder = root / classic if number == 0 else root / classic.replace(uid, f"MR_{uid}") if number == 1 else (
                root / "Duke-Breast-Cancer-MRI" / patient / "01-01-1990-NA-MRI BREAST-1" / f"{k}.000000-Ph{k}-1")
            array = np.full(SHAPE, 100 + 10 * k, np.int16)
            array[tuple(slice(a, b + 1) for a, b in zip(FIRST, LAST, strict=True))] += 500
            make_series(folder, array, affine, SeriesInstanceUID=uid)
            mapping += [[f"DICOM_Images/{patient}/{phase}/{patient}_{phase}_{s}.dcm", f"{classic}/1-{s:03d}.dcm", s, ""]
                        for s in range(1, SHAPE[2] + 1)]
        boxes.append([patient, *np.stack([FIRST + 1, LAST + 1], axis=1)[[1, 0, 2]].ravel().tolist()])
        clinical.append([patient, *[""] * 35, side, "", bilateral, "x"])
    names = ["Patient ID", *[f"c{k}" for k in range(1, 36)], "Tumor Location", "Position", "Bilateral Information", "m"]
    sheet(root / "Clinical_and_Other_Features.xlsx", [["Patient"], names, ["", *["0, 1"] * 39], *clinical])
    sheet(root / "Annotation_Boxes.xlsx", [["Patient ID", "Start Row", "End Row", "Start Column", "End Column",
                                           "Start Slice", "End Slice"], *boxes])
    sheet(root / "Breast-Cancer-MRI-filepath_filename-mapping.xlsx", [
        ["original_path_and_filename", "classic_path", "sop_instance_UID", "descriptive"], *mapping])
    return root


def convert(root: Path, *options: str) -> int:
    return main(["duke", str(root), "-o", str(root.parent / "list.json"), "--folds", "2", *options])


def exams(root: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(root.parent / "list.json").exams}


def test_boxes_become_centres_where_the_voxels_are(duke: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(duke.rglob("*"))
    for path in (duke, *before):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert convert(duke) == 0
    assert sorted(duke.rglob("*")) == before
    found = exams(duke)
    for patient, (affine, side, _, _) in list(PATIENTS.items())[:4]:
        lesion = found[patient].lesions[0]
        corners = [affine @ [*index, 1] for index in (FIRST - 0.5, LAST + 0.5)]
        assert lesion.center_mm == pytest.approx(np.mean(corners, axis=0)[:3], abs=1e-2), patient
        assert lesion.size_mm == pytest.approx(np.abs(corners[0] - corners[1])[:3], abs=1e-2)
        assert lesion.side == side and (lesion.center_mm[0] > 1.5) == (side == "R")
    assert found["Breast_MRI_901"].lesions[0].point is None and found["Breast_MRI_901"].lesions[0].side == "R"
    assert "1 boxes on the other side of the midline" in capsys.readouterr().err


def test_labels_phases_and_source(duke: Path) -> None:
    assert convert(duke) == 0
    found = exams(duke)
    labels = {patient: [found[patient].breasts[side]["malignant"] for side in "LR"] for patient in found}
    assert labels == {"Breast_MRI_001": [0, 1], "Breast_MRI_002": [1, 1], "Breast_MRI_127": [1, None],
                      "Breast_MRI_900": [1, 0], "Breast_MRI_901": [0, 1]}
    assert list(found["Breast_MRI_001"].images) == ["pre", "post1", "post2", "post3", "post4"]
    assert list(found["Breast_MRI_901"].images) == ["pre", "post1"]  # none invented, nor the T1 without fat suppression
    datalist = load(duke.parent / "list.json")
    assert datalist.truth == "pathology" and datalist.source["converter"] == "duke"
    assert datalist.source["counts"]["exams"] == 5
    errors = [issue for issue in verify(datalist) if issue.severity == "error"]
    assert errors == []
    assert convert(duke, "--drop-unlabelled") == 0 and list(exams(duke)["Breast_MRI_127"].breasts) == ["L"]


def test_the_same_list_from_both_layouts(duke: Path) -> None:
    assert convert(duke) == 0
    before = exams(duke)
    patient = duke / "Duke-Breast-Cancer-MRI" / "Breast_MRI_001"
    for k, folder in enumerate(sorted((patient / "1.2.3").iterdir())):
        shutil.move(folder, patient / "09-09-1991-NA-BREAST ROUTINE-2" / f"{k}.0-ax dyn-7")
    assert convert(duke) == 0
    after = exams(duke)
    assert after["Breast_MRI_001"].lesions == before["Breast_MRI_001"].lesions
    datalist = load(duke.parent / "list.json")
    assert all((datalist.root / path).is_dir() for exam in datalist.exams for path in exam.images.values())


@pytest.mark.parametrize(("damage", "text"), [
    (lambda root: (root / "Annotation_Boxes.xlsx").unlink(), "no Annotation_Boxes.xlsx in it"),
    (lambda root: shutil.rmtree(root / "Duke-Breast-Cancer-MRI" / "Breast_MRI_001"),
     "5 of 17 listed images are not there, the first is Breast_MRI_001 pre"),
    (lambda root: sheet(root / "Annotation_Boxes.xlsx", [["Patient ID", "Start Row"], ["Breast_MRI_001", 1]]),
     "column `end row`, `start column`"),
    (lambda root: sheet(root / "Annotation_Boxes.xlsx", [
        ["Patient ID", "Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice"],
        ["Breast_MRI_001", 5, 10, 4, 7, 2, 40]]), "Annotation_Boxes.xlsx, row 2: the box reaches out of its image"),
    (lambda root: sheet(root / "Annotation_Boxes.xlsx", [
        ["Patient ID", "Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice"],
        *[["Breast_MRI_001", 5, 10, 4, 7, 2, 4]] * 2]), "row 3: Breast_MRI_001 is there a second time"),
    (lambda root: sheet(root / "Annotation_Boxes.xlsx", [
        ["Patient ID", "Start Row", "End Row", "Start Column", "End Column", "Start Slice", "End Slice"],
        ["Jane Doe", 5, 10, 4, 7, 2, 4]]), "row 2: `patient id` is not like Breast_MRI_001"),
    (lambda root: (root / "Annotation_Boxes.xlsx").write_bytes(b"\x80\x04\x95pickle"), "not an Excel workbook"),
])
def test_what_is_refused_in_one_line(duke: Path, capsys: pytest.CaptureFixture[str], damage: Any, text: str) -> None:
    damage(duke)
    assert convert(duke) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert text in error and "Jane" not in error and str(duke) not in error
    assert not (duke.parent / "list.json").exists()


def test_images_of_mirrored_patients_are_refused(duke: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = duke / "Clinical_and_Other_Features.xlsx"
    book = openpyxl.load_workbook(path)
    for row in book.active.iter_rows(min_row=4):
        row[36].value = {"L": "R", "R": "L"}[row[36].value]
    book.save(path)
    assert convert(duke) == 2
    assert "lie on the other side of their breast" in capsys.readouterr().err
