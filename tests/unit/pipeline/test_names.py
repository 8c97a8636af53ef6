"""Names of exams and files, and cells that stay texts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.errors import InputError
from pipeline.names import LONGEST, check_names, is_name, is_plain, twins


@pytest.mark.parametrize("text", ["E0001", "2024.01.15", "a_b-c", "0", "x" * LONGEST])
def test_names(text) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "../E1", "a/b", ".hidden", "-x", "a b", "Ä1", "E1\n", "E1\0", "\x1b[31m",
                                  "x" * (LONGEST + 1), "=cmd"])
def test_what_is_no_name(text) -> None:
    assert not is_name(text)


@pytest.mark.parametrize("text, plain", [("=1+1", False), ("@SUM(A1)", False), ("+cmd", False), ("-cmd", False),
                                         ("-1.5", True), ("+2e3", True), ("-", True), ("c", True), ("a\tb", False)])
def test_cells_that_a_spreadsheet_would_run(text, plain) -> None:
    assert is_plain(text) == plain


def exam(exam_id: str, **other) -> SimpleNamespace:
    return SimpleNamespace(**{"exam_id": exam_id, "patient_id": "P1", "images": {"pre": "a"}, "lesions": [],
                              "groups": {}, "readers": {}, **other})


def test_twins_differ_by_case_alone() -> None:
    assert twins(["E1", "E2", "e1"]) == ["e1"]
    with pytest.raises(InputError, match="exam e1 is there twice"):
        check_names([exam("E1"), exam("e1")])


@pytest.mark.parametrize("others", [[exam("A_lesion1", lesions=[SimpleNamespace(lesion_id="2")])],
                                    [exam("A_lesion1_lesion2")]])
def test_two_lesions_share_no_file(others) -> None:
    with pytest.raises(InputError, match="A_lesion1_lesion2 would name files of two lesions"):
        check_names([exam("A", lesions=[SimpleNamespace(lesion_id="1_lesion2")]), *others])


@pytest.mark.parametrize("change", [{"patient_id": ""}, {"groups": {"site": "=cmd"}}, {"readers": {"@x": {}}}])
def test_texts_that_are_refused_are_not_quoted(change) -> None:
    with pytest.raises(InputError, match=r"^exam 2 of the list: ") as error:
        check_names([exam("E1"), exam("E2", **change)])
    assert "cmd" not in str(error.value)
