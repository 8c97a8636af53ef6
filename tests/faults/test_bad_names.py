"""Names that leave their folder, forge a line, run in a spreadsheet or are one file: refused everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data_lists.__main__ import main as convert
from pipeline.__main__ import main as pipeline
from pipeline.breast_mri import answer_exams
from pipeline.breast_ultrasound import answer_volumes
from pipeline.datalist import load
from pipeline.errors import InputError
from pipeline.mammography import answer_exams as answer_mammograms
from pipeline.names import LONGEST, is_name, is_plain

HOSTILE = {
    "leaves its folder": "../../escape", "absolute": "/tmp/escape", "with a slash": "a/b", "a backslash": "a\\b",
    "a line break": "a\nb", "an escape sequence": "\x1b[2J", "NUL": "a\0b", "empty": "", "300 characters": "a" * 300,
    "5000 characters": "a" * 5000, "a formula": "=cmd|'/c calc'!A1", "at": "@SUM(A1)", "a tab": "\tx",
    "a lone surrogate": "a\ud800", "markup": "<img src=x>", "hidden": ".a", "an option": "-rf", "spaces": "a b",
    "right to left": "a\u202eb", "another script": "Übung",
}
CELLS = ["=cmd|'/c calc'!A1", "@SUM(A1)", "+cmd", "-2+3+cmd|' /C calc'!A0", "a\x1b[2J", "a" * 5000]


@pytest.mark.parametrize("what", HOSTILE)
def test_the_rule(what) -> None:
    assert not is_name(HOSTILE[what])


def test_what_the_rule_lets_pass() -> None:
    assert all(map(is_name, ["E1", "001", "2024.01.15", "TDSC007", "a-b_c.d", "x" * LONGEST]))
    assert all(map(is_plain, ["", "c", "-1", "+1,5", "-", "1e-3", "Übung 3", "A=B", "-1.5e+3"]))
    assert not any(map(is_plain, CELLS))


def written(folder: Path, cohort, **changes: str) -> Path:
    """The cohort's list with the first exam changed."""
    content = json.loads(cohort.list.read_text())
    exam = content["exams"][0]
    for name, value in changes.items():
        place = exam["lesions"][0] if name == "lesion_id" else exam["groups"] if name == "group" else exam
        place[name] = value
    path = folder / "hostile.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("what", HOSTILE)
def test_a_list_with_such_an_exam_is_refused_in_one_line(what, tiny_cohort, tmp_path, capsys) -> None:
    path = written(tmp_path, tiny_cohort, exam_id=HOSTILE[what])
    assert pipeline(["verify", str(path)]) == 2
    line = capsys.readouterr().err.rstrip("\n")
    assert line.startswith("error: hostile.json: exam 1 of the list: `exam_id` may hold letters, digits")
    assert (line.isprintable() and HOSTILE[what] not in line) or not HOSTILE[what]


@pytest.mark.parametrize(("name", "value"), [
    ("lesion_id", "../1"), ("patient_id", ""), *(("patient_id", cell) for cell in CELLS),
    *(("group", cell) for cell in CELLS)])
def test_lesions_patients_and_groups_too(name, value, tiny_cohort, tmp_path) -> None:
    with pytest.raises(InputError, match=r"^hostile\.json: exam 1 of the list: .*; rename it$"):
        load(written(tmp_path, tiny_cohort, **{name: value}))


@pytest.mark.parametrize("second", ["E0000", "e0000"])
def test_two_exams_of_one_name(second, tiny_cohort) -> None:
    content = json.loads(tiny_cohort.list.read_text())
    content["exams"][1]["exam_id"] = second
    tiny_cohort.list.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is there twice, be it in other letters' case"):
        load(tiny_cohort.list)


HEADER = "exam_id,patient_id,pre,left_malignant,right_malignant,group_density"
FINE = [f"E{i},P{i},E{i}/pre.nii.gz,{i % 2},0,c" for i in range(2, 12)]


def csv(folder: Path, row: str, *more: str) -> list[str]:
    path = folder / "exams.csv"
    folder.joinpath("a.nii").touch()
    path.write_text("\n".join([HEADER, row, *FINE]) + "\n", encoding="utf-8")
    return ["csv", str(path), "-o", str(folder / "list.json"), *more]


@pytest.mark.parametrize(("row", "says"), [
    ("e2,P1,a.nii,0,0,c", "is there a second time, be it in other letters' case"),
    (f"{'a' * 200},P1,a.nii,0,0,c", "row 2: `exam_id` may hold"),
    (f"{'a' * 5000},P1,a.nii,0,0,c", "row 2: `exam_id` may hold"),
    ("a b,P1,a.nii,0,0,c", "row 2: `exam_id` may hold"),
    ("=cmd,P1,a.nii,0,0,c", "row 2: `exam_id` may hold"),
    ("E1,=cmd,a.nii,0,0,c", "row 2: `patient_id` begins like a formula"),
    ("E1,@SUM(A1),a.nii,0,0,c", "row 2: `patient_id` begins like a formula"),
    ("E1,P1,a.nii,0,0,=cmd", "row 2: `group_density` begins like a formula"),
])
def test_sheets(row, says, tmp_path, capsys) -> None:
    assert convert(csv(tmp_path, row)) == 2
    line = capsys.readouterr().err
    assert says in line and len(line.splitlines()) == 1 and not (tmp_path / "list.json").exists()


@pytest.mark.parametrize(("options", "says"), [
    (["--seed", "-1"], "--seed -1: give a whole number from 0 to 4294967295"),
    (["--seed", str(2**32)], "--seed 4294967296: give a whole number"),
    (["--held-out", "0.0001"], "--held-out 0.0001: not even one of 11 patients; give a larger share"),
    (["--held-out", "nan"], "--held-out nan: give a share"),
    (["--root", "nope"], "--root nope: no such folder; give the one that the images' paths begin in"),
    (["--images", "foo"], "column `foo` is missing"),
    (["--folds", "0"], "folds"),
])
def test_options(options, says, tmp_path, capsys) -> None:
    assert convert(csv(tmp_path, "E1,P1,a.nii,1,0,c", *options)) == 2
    line = capsys.readouterr().err
    assert says in line and len(line.splitlines()) == 1 and "Traceback" not in line


@pytest.mark.parametrize(("change", "says"), [
    (lambda text: text.replace(",left_malignant", ",left_malignat"), "is `left_malignat` the column `left_malignant`?"),
    (lambda text: text.replace(",", "|"), "one column only; save it as CSV with commas, semicolons or tabs"),
])
def test_headers_with_a_remedy(change, says, tmp_path, capsys) -> None:
    command = csv(tmp_path, "E1,P1,a.nii,1,0,c")
    Path(command[1]).write_text(change(Path(command[1]).read_text()))
    assert convert(command) == 2
    assert says in capsys.readouterr().err


def mri(folder: Path) -> list[str]:
    return [exam["exam_id"] for exam in answer_exams.find(folder, ["pre"])]


def ultrasound(folder: Path) -> list[str]:
    return [exam["exam_id"] for exam in answer_volumes.find(folder)]


def mammography(folder: Path) -> list[str]:
    return [exam["exam_id"] for exam in answer_mammograms.find(folder)]


@pytest.mark.parametrize(("find", "file"), [(mri, "pre.nii.gz"), (ultrasound, "image.nrrd"), (mammography, "L-CC.png")])
def test_answers_are_named_by_the_whole_folder(find, file, tmp_path) -> None:
    for name in ("2024.01.15", "2024.02.20"):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    assert find(tmp_path) == ["2024.01.15", "2024.02.20"]
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / file).touch()
    with pytest.raises(InputError, match="'a b': an exam's folder or file may hold letters, digits"):
        find(tmp_path)


def test_two_exams_never_share_an_answer(tmp_path) -> None:
    for name in ("E1.nii.gz", "e1.nii"):
        (tmp_path / name).touch()
    for find in (mri, ultrasound):
        with pytest.raises(InputError, match="two exams have this name"):
            find(tmp_path)
