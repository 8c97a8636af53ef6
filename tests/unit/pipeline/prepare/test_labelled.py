"""Class labels and points of raw exams: what each form says, and the cases that come of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import transforms
from pipeline.breast_mri import breasts
from pipeline.errors import InputError
from pipeline.prepare import run
from pipeline.prepare.labelled import LabelledDataset, read_label
from transforms.breast_mri.exam_files import find_contrasts

CHANNELS = ["pre", "post1", "t2"]
NONE = {"malignant": 0, "benign": 0}
BAD = {"malignant": 1, "benign": 0}
KIND = {"malignant": 0, "benign": 1}


def slicer(*points: tuple[str, list[float]], system: str = "LPS") -> dict[str, Any]:
    return {"markups": [{"coordinateSystem": system, "controlPoints": [
        {"label": label, "position": place} for label, place in points]}]}


@pytest.mark.parametrize(("content", "labels", "centres"), [
    ({"L": 0, "R": 1}, {"L": NONE, "R": BAD}, []),
    ({"R": 1}, {"R": BAD}, []),
    ({"label": 0}, {"L": NONE, "R": NONE}, []),
    # The image's middle lies at x = 0, and the right breast at x > 0.
    ({"label": 1, "points": [[60, 20, 5]]}, {"L": NONE, "R": BAD}, [("R", (60, 20, 5), 1)]),
    (slicer(("F-1", [-60, -20, 5])), {"L": NONE, "R": BAD}, [("R", (60, 20, 5), 1)]),
    (slicer(("benign-1", [-60, 20, 5]), ("x", [10, 0, 0]), system="RAS"), {"L": KIND, "R": BAD},
     [("L", (-60, 20, 5), 0), ("R", (10, 0, 0), 1)]),
    (slicer(), {"L": NONE, "R": NONE}, []),
])
def test_what_a_label_says(tiny_cohort, tmp_path, content, labels, centres) -> None:
    (tmp_path / "x.json").write_text(json.dumps(content))
    found, lesions = read_label(tmp_path / "x.json", tiny_cohort.path(0, "pre"))
    assert found == labels
    assert [(each.side, each.center_mm, each.malignant) for each in lesions] == centres


def test_of_an_image_of_one_breast_points_need_no_side(tiny_cohort, tmp_path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"label": 1, "points": [[60, 20, 5], [-3, 0, 0]]}))
    found, lesions = read_label(tmp_path / "x.json", tiny_cohort.path(0, "pre"), both=False)
    assert found == {"L": BAD} and {each.side for each in lesions} == {"L"}


@pytest.mark.parametrize("content", [
    "1", "{", '{"label": 1}', '{"label": 2}', '{"L": "yes"}', '{"label": 0, "points": [[1, 2, 3]]}', "{}",
    '{"label": 1, "points": [[1, 2]]}', '{"diagnosis": 1}'])
def test_what_is_no_label_is_one_line(tiny_cohort, tmp_path, content) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"^x\.json: [^\n]*give \{.L.: 0"):
        read_label(tmp_path / "x.json", tiny_cohort.path(0, "pre"))


def items(cohort: Any, folder: Path, count: int = 4) -> list[dict[str, str]]:
    """Exams as a server's studies have them, with class labels."""
    found = []
    for exam in cohort.load().exams[:count]:
        shown = folder / f"{exam.exam_id}.nii.gz"
        (folder / f"{exam.exam_id}.exam").mkdir(parents=True)
        for name in exam.images:
            (folder / f"{exam.exam_id}.exam" / f"{name}.nii.gz").symlink_to(cohort.load().path(exam, name))
        shown.symlink_to(cohort.load().path(exam, "post1"))
        label = folder / f"{exam.exam_id}.json"
        label.write_text(json.dumps({side: each["malignant"] for side, each in exam.breasts.items()}))
        found.append({"image": str(shown), "label": str(label)})
    return found


def test_raw_exams_become_the_cases_that_prepare_makes(tiny_cohort, tmp_path) -> None:
    loader = transforms.LoadBreastsd("image", CHANNELS, matrix=(64, 64, 8), rows=32)
    run.run(tiny_cohort.list, tmp_path / "prepared", breasts.BREASTS, loader, workers=1)
    wanted = {(case["exam_id"], case["side"]): case for fold in range(3)
              for case in breasts.breasts(tmp_path / "prepared", fold, "test")}
    made = LabelledDataset(items(tiny_cohort, tmp_path / "studies"), None, breasts.BREASTS, loader, breasts.breasts,
                           tmp_path / "made", find_contrasts)
    assert len(made) == 8
    for case in made.data:
        other = wanted[case["exam_id"], case["side"]]
        assert (case["label"], case["sha256"]) == (other["label"], other["sha256"])
    same = LabelledDataset(made.data, None, breasts.BREASTS, loader, breasts.breasts, tmp_path / "none", find_contrasts)
    assert same.data == made.data and not (tmp_path / "none").exists()  # prepared ones stay as they are


def test_what_cannot_be_trained_on_is_named(tiny_cohort, tmp_path) -> None:
    loader = transforms.LoadBreastsd("image", CHANNELS, matrix=(64, 64, 8), rows=32)
    parts = (None, breasts.BREASTS, loader, breasts.breasts, tmp_path / "made", find_contrasts)
    with pytest.raises(InputError, match="no labelled exam is left for this part of the training"):
        LabelledDataset([], *parts)
    raw = items(tiny_cohort, tmp_path / "studies", 2)
    (tmp_path / "studies/E0001.exam/t2.nii.gz").unlink()
    with pytest.raises(InputError, match="no image for t2"):
        LabelledDataset(raw, *parts)
    alone = {"image": str(tiny_cohort.path(0, "pre")), "label": raw[0]["label"]}
    with pytest.raises(InputError, match=r"pre: one file of all contrasts .* into pre\.exam beside it"):
        LabelledDataset([alone], *parts)
