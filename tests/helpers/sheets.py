"""Spreadsheets of exams and lesions, and what a refusal looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_lists.__main__ import main

HEADER = "exam_id,patient_id,pre,post1,left_malignant,left_benign,right_malignant,right_benign"


ROWS = [f"00{i},SECRET{i},00{i}/pre.nii.gz,00{i}/post1.nii.gz,{int(i % 2 == 0)},0,,1" for i in range(20)]


LESIONS = "exam_id,side,x_mm,y_mm,z_mm,malignant"


def sheet(
    folder: Path, *, header: str = HEADER, rows: list[str] = ROWS, lesions: list[str] | None = None
) -> list[str]:
    """Write the sheets, and files where the rows' images lie; returns the command's arguments."""
    for text in ROWS:
        for path in text.split(",")[2:4]:
            folder.joinpath(path).parent.mkdir(exist_ok=True)
            folder.joinpath(path).touch()
    folder.joinpath("exams.csv").write_text("\n".join([header, *rows]) + "\n")
    arguments = ["csv", str(folder / "exams.csv"), "-o", str(folder / "list.json")]
    if lesions is not None:
        folder.joinpath("lesions.csv").write_text("\n".join([LESIONS, *lesions]) + "\n")
        arguments += ["--lesions", str(folder / "lesions.csv")]
    return arguments


def row(**cells: str) -> str:
    """The first row with cells replaced, and more cells where other columns are named."""
    values = {**dict(zip(HEADER.split(","), ROWS[0].split(","), strict=True)), **cells}
    return ",".join(values.values())


def refused(arguments: list, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must refuse its input; returns its one line."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("error: ")
    assert "SECRET" not in err and str(Path(arguments[1]).parent) not in err
    assert not Path(arguments[3]).exists()
    return err
