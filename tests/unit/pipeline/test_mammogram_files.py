"""Exams on disk: which file is which view."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.mammogram_files import find


def test_files_are_known_by_the_view_that_their_names_end_in(tmp_path) -> None:
    for name in ("0_L-CC.png", "exam7_r_mlo.TIF", "RCC.dcm", "L-CC-2.png", "again L-CC.png", "3.2.dcm", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    exam, = find(tmp_path)
    assert {view: path.rpartition("/")[2] for view, path in exam["image"].items()} == {
        "L-CC": "0_L-CC.png", "L-CC-2": "L-CC-2.png", "L-CC-3": "again L-CC.png", "R-MLO": "exam7_r_mlo.TIF",
        "R-CC": "RCC.dcm", "3.2": "3.2.dcm"}


def test_a_folder_of_exams_and_a_single_file(tmp_path) -> None:
    for exam in ("E1", "E2"):
        (tmp_path / exam).mkdir()
        (tmp_path / exam / "L-CC.png").write_bytes(b"")
    assert [exam["exam_id"] for exam in find(tmp_path)] == ["E1", "E2"]
    assert find(tmp_path / "E1" / "L-CC.png")[0]["image"] == {"L-CC": str(tmp_path / "E1" / "L-CC.png")}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no mammogram"):
        find(tmp_path / "empty")
