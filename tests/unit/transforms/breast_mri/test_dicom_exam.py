"""An exam as a scanner sends it: contrasts recognised by tags, prepared as the NIfTI that is written from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.breast_mri.answer_exams import find
from pipeline.datalist import Datalist, Exam, load, save
from transforms import LoadBreasts
from transforms.breast_mri.dicom_exam import find_dicom
from transforms.errors import InputError

PHASES = ("pre", "post1", "post2", "post3", "post4")
CHANNELS = (*PHASES, "t2")
T1 = {"RepetitionTime": 5.1, "EchoTime": 2.4, "FlipAngle": 10}
T2 = {"RepetitionTime": 4000, "EchoTime": 90, "FlipAngle": 90, "SeriesNumber": 2}


def volumes(exam: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    images = {name: nib.load(exam / f"{name}.nii.gz") for name in CHANNELS}
    return {name: (np.asarray(image.dataobj).astype(np.int16), image.affine) for name, image in images.items()}


def write_dicom(folder: Path, exam: Path, make_series: Any, mixed: bool) -> Path:
    """One exam: a series a phase, or all phases in one; both with shuffled names, a localiser and a subtraction."""
    for k, (name, (array, affine)) in enumerate(volumes(exam).items()):
        if name == "t2":
            make_series(folder / "t2-scan", array, affine, shuffle=9, SeriesDescription="ax stir", **T2)
        elif mixed:
            make_series(folder / "dyn", array, affine, first=1 + 1000 * (7 * k % 5), shuffle=k + 1,
                        AcquisitionNumber=k + 1, SeriesInstanceUID="1.2.9", SeriesNumber=5, **T1)
        else:  # numbered against the time
            make_series(folder / f"{9 - k}-scan", array, affine, shuffle=k + 1, SeriesNumber=9 - k,
                        AcquisitionTime=f"1{k}0000.5", ContrastBolusAgent="" if k == 0 else "agent", **T1)
    first = volumes(exam)["pre"]
    make_series(folder / "loc", first[0][..., :3], first[1], SeriesNumber=1, **T1)
    make_series(folder / "sub", first[0], first[1], SeriesNumber=30, SeriesDescription="SUB 1-2", **T1)
    return folder


@pytest.mark.parametrize("mixed", [False, True], ids=["five series", "one mixed series"])
def test_dicom_is_prepared_as_the_nifti_that_convert_writes_from_it(tmp_path, phantom_cohort, make_series, mixed):
    exam = phantom_cohort.path(0).parent
    folder = write_dicom(tmp_path / "scans" / "E1", exam, make_series, mixed)
    assert find(folder, CHANNELS) == [{"image": str(folder), "exam_id": "E1"}]
    names = {k: str(path.relative_to(tmp_path)) for k, path in find_dicom(folder, CHANNELS).items()}
    listed = Exam("E1", "P1", names, {"L": {"malignant": 0}, "R": {"malignant": 1}})
    save(Datalist("dicom", "MR", tmp_path, [listed]), tmp_path / "list.json")
    assert main(["verify", str(tmp_path / "list.json"), "--json", str(tmp_path / "issues.json")]) in (0, 1)
    issues = json.loads((tmp_path / "issues.json").read_text())["issues"]
    assert {issue["code"] for issue in issues if issue["severity"] == "error"} == {"fold_missing"}
    assert main(["convert", str(tmp_path / "list.json"), "-o", str(tmp_path / "nifti")]) == 0
    converted = load(tmp_path / "nifti" / "list.json")
    for name, (array, affine) in volumes(exam).items():
        image = nib.load(converted.path(converted.exams[0], name))
        there = np.linalg.inv(image.affine) @ affine  # a step or a mirror, as slices are sorted along the normal
        assert np.allclose(there, np.rint(there), atol=1e-4)
        for index in ((0, 0, 0), (5, 9, 2), tuple(n - 1 for n in array.shape)):
            place = there[:3] @ [*index, 1]
            assert np.asarray(image.dataobj)[tuple(np.rint(place).astype(int))] == array[index]
            assert np.allclose(image.affine @ [*place, 1], affine @ [*index, 1], atol=1e-4)
        assert np.asarray(image.dataobj).sum() == array.astype(int).sum()
    prepare = LoadBreasts(CHANNELS, (128, 128, 8), 64)
    from_dicom, from_nifti = prepare(str(folder)), prepare(str(tmp_path / "nifti" / "E1"))
    assert np.array_equal(from_dicom.numpy(), from_nifti.numpy()), "not bit by bit"


@pytest.mark.parametrize(("change", "text"), [
    ("lacking", r"no 5 phases on one grid; found .*series 9: 1 of"),
    ("twice", r"2 groups of series could be the 5 phases"),
    ("order", r"nothing tells the order"),
    ("washed", r"contrast agent contradicts"),
    ("two t2", r"2 series could be t2"),
])
def test_what_is_ambiguous_is_an_error_that_lists_what_was_found(tmp_path, phantom_cohort, make_series, change, text):
    array, affine = volumes(phantom_cohort.path(0).parent)["pre"]
    for k in range(4 if change == "lacking" else 5):
        time = {} if change == "order" else {"AcquisitionTime": f"1{k}0000"}
        agent = {"ContrastBolusAgent": "agent" if k in (1, 2) else ""} if change == "washed" else {}
        make_series(tmp_path / "E1" / f"s{k}", array, affine, SeriesNumber=9 - k, **T1, **time, **agent)
        if change == "twice":
            make_series(tmp_path / "E1" / f"t{k}", array, affine, SeriesNumber=20 + k, **time,
                        **{**T1, "EchoTime": 4.8})
    for k in range(2 if change == "two t2" else 1):
        make_series(tmp_path / "E1" / f"t2{k}", array, affine, **T2)
    with pytest.raises(InputError, match=text) as caught:
        find(tmp_path / "E1", CHANNELS)
    assert "\n" not in str(caught.value) and "SECRET" not in str(caught.value)


def test_phases_before_the_last_without_contrast_agent_are_passed_over(tmp_path, phantom_cohort, make_series):
    array, affine = volumes(phantom_cohort.path(0).parent)["pre"]
    for k in range(4):
        make_series(tmp_path / "E1" / f"s{k}", array + np.int16(k), affine, AcquisitionTime=f"1{k}0000",
                    ContrastBolusAgent="agent" if k > 1 else "", **T1)
    chosen: dict[str, str] = {}
    found = find_dicom(tmp_path / "E1", ("pre", "post1", "post2"), chosen)
    assert chosen["pre"].startswith("series ") and list(chosen) == ["pre", "post1", "post2"]
    assert [found[c].name.split("#")[0] for c in ("pre", "post1", "post2")] == ["s1", "s2", "s3"]
