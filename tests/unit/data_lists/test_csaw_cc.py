"""The CSAW-CC converter, on a table and files made here."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_lists.__main__ import main
from pipeline.datalist import Exam, load

COLUMNS = ["anon_patientid", "exam_year", "x_age", "x_case", "x_cancer_laterality", "rad_timing", "rad_r1", "rad_r2",
           "imagelaterality", "viewposition", "anon_filename"]
VIEWS = [(side, view) for side in ("Left", "Right") for view in ("CC", "MLO")]


def exam(patient: int, year: int, case: int = 0, side: str = "", timing: str = "", r1: str = "0", r2: str = "0",
         numbers: tuple[int, ...] = (1,)) -> list[dict[str, object]]:
    """The rows of an exam: four views, once for each number."""
    return [
        dict(zip(COLUMNS, [patient, year, 1, case, side, timing, r1, r2, breast, view,
                           f"{patient}{year}_20990909_{breast[0]}_{view}_{n}.dcm"], strict=True))
        for n in numbers for breast, view in VIEWS
    ]


ROWS = [
    *exam(1, 2010, 1, "Right", "3"),
    *exam(1, 2014, 1, "Right", "1.0", r1="1"),
    *exam(2, 2012, 1, "Left", "2", r2=""),
    *exam(3, 2012, numbers=(2, 1)),
    *[row for p in range(4, 12) for row in exam(p, 2013)],
]


def convert(folder: Path, *options: str, rows: list[dict[str, object]] = ROWS, lost: tuple[str, ...] = ()) -> int:
    lines = [",".join(COLUMNS), *(",".join(str(row[c]) for c in COLUMNS) for row in rows)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    for i, row in enumerate(rows):
        batch = folder / "images" / f"batch{i % 3}" / "inner"
        batch.mkdir(parents=True, exist_ok=True)
        if row["anon_filename"] not in lost:
            (batch / str(row["anon_filename"])).touch()
    return main(["csaw-cc", str(folder / "table.csv"), "--images", str(folder / "images"), "-o",
                 str(folder / "list.json"), *options])


def exams(folder: Path) -> dict[str, Exam]:
    return {exam.exam_id: exam for exam in load(folder / "list.json").exams}


def test_labels_by_timing_and_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path) == 0
    found = exams(tmp_path)
    assert len(found) == 11 and "1_2010" not in found  # two years or more before the diagnosis
    screen, interval, negative = found["1_2014"], found["2_2012"], found["3_2012"]
    assert screen.breasts == {"L": {"malignant": 0, "benign": None}, "R": {"malignant": 1, "benign": None}}
    assert interval.breasts["L"]["malignant"] == 1 and interval.breasts["R"]["malignant"] == 0
    assert [e.groups["detection"] for e in (screen, interval, negative)] == ["screen", "interval", "negative"]
    assert screen.readers == {"rad_r1": {"exam": 1.0}, "rad_r2": {"exam": 0.0}}
    assert interval.readers == {"rad_r1": {"exam": 0.0}}  # an empty flag is no opinion
    assert load(tmp_path / "list.json").modality == "MG"
    messages = capsys.readouterr().err
    assert "1 exams two years or more before the diagnosis" in messages and "4 repeated views" in messages


def test_repeats_keep_the_lowest_number_and_files_lie_anywhere(tmp_path: Path) -> None:
    assert convert(tmp_path) == 0
    datalist = load(tmp_path / "list.json")
    images = exams(tmp_path)["3_2012"].images
    assert list(images) == ["L-CC", "L-MLO", "R-CC", "R-MLO"]
    assert Path(images["R-MLO"]).name == "32012_20990909_R_MLO_1.dcm"
    assert all(datalist.path(exam, name).is_file() for exam in datalist.exams for name in exam.images)


@pytest.mark.parametrize(("option", "label"), [("negative", 0), ("positive", 1)])
def test_priors(tmp_path: Path, option: str, label: int) -> None:
    assert convert(tmp_path, "--priors", option) == 0
    prior = exams(tmp_path)["1_2010"]
    assert prior.groups["detection"] == "prior"
    assert (prior.breasts["L"]["malignant"], prior.breasts["R"]["malignant"]) == (0, label)


def test_other_breast_unknown(tmp_path: Path) -> None:
    assert convert(tmp_path, "--other-breast", "unknown") == 0
    found = exams(tmp_path)
    assert (found["1_2014"].breasts["L"]["malignant"], found["1_2014"].breasts["R"]["malignant"]) == (None, 1)
    assert found["3_2012"].breasts["L"]["malignant"] == 0  # patients without cancer have no other breast


def test_missing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = tuple(str(row["anon_filename"]) for row in exam(4, 2013) + exam(5, 2013)[:1])
    assert convert(tmp_path, lost=lost) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "5 of 48" in error and lost[0] in error and "--skip-missing" in error
    assert str(tmp_path) not in error
    assert convert(tmp_path, "--skip-missing", lost=lost) == 0
    found = exams(tmp_path)
    assert "4_2013" not in found and list(found["5_2013"].images) == ["L-MLO", "R-CC", "R-MLO"]


@pytest.mark.parametrize(("column", "value", "message"), [
    ("rad_timing", "4", "`rad_timing` is none of 1, 2, 3"),
    ("rad_timing", "1", "`rad_timing` is given for a patient without cancer"),
    ("viewposition", "LM", "`viewposition` is none of"),
    ("rad_r1", "1", "`rad_r1` differs between the images"),
    ("x_case", "", "`x_case` is empty"),
])
def test_contradictions(tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, value: str,
                        message: str) -> None:
    rows = [dict(row) for row in ROWS]
    for row in rows[20:24] if column in ("rad_timing", "x_case") else rows[21:22]:
        row[column] = value
    assert convert(tmp_path, rows=rows) == 2
    error = capsys.readouterr().err
    assert message in error and "table.csv, row 2" in error and len(error.splitlines()) == 1


def test_cancer_without_a_side_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(tmp_path, rows=ROWS + exam(20, 2015, 1, "", "1")) == 0
    assert "20_2015" not in exams(tmp_path)
    assert "1 exams of cancers without timing or side" in capsys.readouterr().err
