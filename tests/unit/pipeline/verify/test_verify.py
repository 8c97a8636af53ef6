"""Verification: what it reads, how it reports, and the numbers in its reasons."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from pipeline.datalist import InputError, Lesion
from pipeline.verify import RULES, verify
from pipeline.verify.command import table


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", "verify", *map(str, arguments)],
                          capture_output=True, text=True)


def test_reasons_carry_the_numbers(tiny_cohort) -> None:
    def three_nan(array, affine):
        array = array.astype(np.float32)
        array[1, 2, 3:6] = np.nan
        return array

    def shift(array, affine):
        affine[:3, 3] += (3.0, 4.0, 0.0)

    tiny_cohort.rewrite(0, "t2", three_nan)
    tiny_cohort.rewrite(1, "post1", shift)
    tiny_cohort.rewrite(2, "post1", lambda array, affine: array[:, :, :6])
    tiny_cohort.rewrite(3, "t2", lambda array, affine: array * 0 + 7)
    datalist = tiny_cohort.load()
    # The image ends 5 mm beyond its last voxel's centre at z = 35, that is at z = 40.
    datalist.exams[4].lesions = [Lesion(datalist.exams[4].lesions[0].side, (-60.0, 20.0, 52.0), 1, "a")]
    assert [it.reason for it in verify(datalist)] == [
        "3 voxels are NaN or infinite",
        "grid differs from that of pre by up to 5 mm",
        "shape 64 x 64 x 6, but pre has 64 x 64 x 8",
        "every voxel is 7",
        "lesion a: centre lies 12 mm outside the image",
    ]


@pytest.mark.parametrize(("shift", "found"), [(0.005, False), (0.02, True)])
def test_grids_may_differ_by_a_hundredth_of_a_millimetre(tiny_cohort, shift: float, found: bool) -> None:
    tiny_cohort.rewrite(0, "post1", lambda array, affine: affine.__setitem__((0, 3), affine[0, 3] + shift))
    assert [it.code for it in verify(tiny_cohort.load(), quick=True)] == ["affine_mismatch"] * found


def test_t2_may_have_its_own_grid(tiny_cohort) -> None:
    tiny_cohort.rewrite(0, "t2", lambda array, affine: array[::2])
    assert verify(tiny_cohort.load()) == []


def test_phases_in_one_file_may_be_four_dimensional(make_cohort, tmp_path) -> None:
    cohort = make_cohort(tmp_path, contrasts=("image",))
    cohort.rewrite(0, "image", lambda array, affine: np.stack([array, array + 1], -1))
    assert verify(cohort.load()) == []


def test_a_side_is_not_judged_where_one_breast_was_imaged(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.exams[0].breasts.pop("R")  # the image may show one breast; its middle is not the patient's
    datalist.exams[0].lesions[0].center_mm = (60.0, 20.0, 5.0)
    assert verify(datalist, quick=True) == []


def test_quick_reads_headers_only(tiny_cohort) -> None:
    content = bytearray(tiny_cohort.path().read_bytes())
    content[-20] ^= 1  # behind the header
    tiny_cohort.path().write_bytes(content)
    assert verify(tiny_cohort.load(), quick=True) == []
    assert [it.code for it in verify(tiny_cohort.load())] == ["corrupt_file"]


def test_contrasts_limit_what_is_read_and_are_demanded(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.path(datalist.exams[0], "t2").unlink()
    assert verify(datalist, contrasts=["pre", "post1"], quick=True) == []
    issues = verify(datalist, contrasts=["pre", "post2"], quick=True)
    assert {(it.severity, it.code, it.image) for it in issues} == {("error", "missing_phase", "post2")}
    assert len(issues) == len(datalist.exams)


def test_a_contrast_that_few_exams_have_is_not_missed(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    for exam in datalist.exams[4:]:
        exam.images.pop("t2")  # 4 of 12 keep it
    assert verify(datalist, quick=True) == []


def test_mammograms_are_pictures_and_have_no_millimetres(make_cohort, tmp_path) -> None:
    cohort = make_cohort(tmp_path, contrasts=("L_CC",))
    datalist = cohort.load()
    datalist.modality = "MG"
    assert {it.code for it in verify(datalist, quick=True)} == {"not_3d"}
    for i in range(len(datalist.exams)):
        cohort.rewrite(i, "L_CC", lambda array, affine: array[:, :, 0])
    assert verify(datalist) == []


def test_workers_do_not_change_the_answer(tiny_cohort) -> None:
    tiny_cohort.path(5, "t2").unlink()
    tiny_cohort.path(2).write_bytes(b"")
    assert verify(tiny_cohort.load(), workers=1) == verify(tiny_cohort.load(), workers=4)


def test_columns_are_aligned(tiny_cohort) -> None:
    tiny_cohort.path(5, "t2").unlink()
    tiny_cohort.path(2).write_bytes(b"")
    header, *rows = table(verify(tiny_cohort.load())).split("\n\n")[0].splitlines()
    assert [row.index(reason) for row, reason in zip(rows, ("the file has", "no such"), strict=True)] == [
        header.index("reason")] * 2


def test_every_rule_says_what_to_do() -> None:
    assert all(rule.severity in ("error", "warning") and rule.remedy for rule in RULES.values())


def test_command_on_a_healthy_list(tiny_cohort, tmp_path) -> None:
    done = run(tiny_cohort.list, "--json", tmp_path / "out" / "issues.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["no issues", "12 exams: 0 errors, 0 warnings"]
    assert json.loads((tmp_path / "out" / "issues.json").read_text()) == {
        "schema": "breast-bundles/verify/1", "errors": 0, "warnings": 0, "exams": 12, "issues": []}


def test_command_with_errors_names_no_patient_and_no_path(tiny_cohort, tmp_path) -> None:
    datalist = tiny_cohort.load()
    first, second = datalist.exams[0], datalist.exams[1]
    assert first.fold != second.fold
    second.patient_id = first.patient_id
    datalist.exams[2].images["t2"] = str(tmp_path / "SECRET.nii.gz")
    datalist.exams[3].breasts["L"]["malignant"] = None
    tiny_cohort.save(datalist)
    done = run(tiny_cohort.list, "--json", tmp_path / "issues.json")
    assert done.returncode == 1 and done.stderr == ""
    written = (tmp_path / "issues.json").read_text()
    for text in (done.stdout, written):
        assert "SECRET" not in text and str(tmp_path) not in text
    content = json.loads(written)
    assert (content["errors"], content["warnings"]) == (2, 1)
    assert [(it["severity"], it["code"], it["exam"]) for it in content["issues"]] == [
        ("error", "patient_in_two_folds", "E0001"),
        ("error", "missing_file", "E0002"),
        ("warning", "label_missing", "E0003"),
    ]
    assert set(content["issues"][0]) == {"severity", "code", "exam", "image", "reason", "remedy"}


def test_command_with_warnings_only_succeeds(tiny_cohort) -> None:
    datalist = tiny_cohort.load()
    datalist.exams[3].breasts["L"]["malignant"] = None
    tiny_cohort.save(datalist)
    done = run(tiny_cohort.list, "--quick")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "12 exams: 0 errors, 1 warnings (headers only)"


@pytest.mark.parametrize("arguments", [["missing.json"], ["LIST", "--workers", "0"],
                                       ["LIST", "--json", "/dev/null/x.json"]])
def test_command_that_cannot_run_ends_with_one_line(tiny_cohort, arguments: list[str]) -> None:
    done = run(*(tiny_cohort.list if word == "LIST" else word for word in arguments))
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")


def test_an_unreadable_format_does_not_stop_the_rest(tiny_cohort, monkeypatch) -> None:
    def broken(path):
        raise MemoryError if path.name == "pre.nii.gz" else InputError("no", code="something new")

    monkeypatch.setattr("pipeline.verify.reading.read_image", broken)
    issues = verify(tiny_cohort.load())
    assert {it.code for it in issues} == {"unreadable_file"} and len(issues) == 36
    assert any("(MemoryError)" in it.reason for it in issues)
