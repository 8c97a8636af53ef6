"""Names and words of other people's spreadsheets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from data_lists.mapping import Columns, propose, read, told, words_of
from pipeline.datalist import InputError


@pytest.mark.parametrize(("title", "words"), [
    ("Patient-ID ", "patient id"), ("x (mm)", "x"), ("T1w_pre.contrast", "t1w pre contrast"), ("Größe", "gr sse")])
def test_words_of_a_title(title: str, words: str) -> None:
    assert words_of(title) == words


def test_a_column_is_guessed_once_and_only_where_its_cells_fit() -> None:
    head = [("mask", ["a/b.nii"]), ("Mask 2", ["a/b.nii"]), ("seg", ["a/c.nii"]), ("benignn", ["maybe"]),
            ("benignnn", ["1", "NA"]), ("E=mc2", [""])]
    found = propose(head, {"mask_of": "path", "benign": "word"}, lambda title: None,
                    {"mask_of": "mask|seg"})
    assert found.names == {"mask": "mask_of", "Mask 2": None, "seg": None, "benignn": None, "benignnn": "benign",
                           "E=mc2": None}
    assert found.guessed == ["mask", "benignnn"] and found.read("mask") == "mask_of" and found.read("seg") == ""


def test_a_proposal_survives_titles_that_yaml_would_read_otherwise(tmp_path: Path) -> None:
    titles = ["no", "a: b", "- x", '"quoted"', "#1", "1", "null", "tab\tin it", "Größe"]
    columns = Columns(dict.fromkeys(titles, "exam_id"))
    (tmp_path / "map.yaml").write_text(told({"a b.csv": columns}), encoding="utf-8")
    assert yaml.safe_load((tmp_path / "map.yaml").read_text(encoding="utf-8")) == {
        "a b.csv": dict.fromkeys(titles, "exam_id")}
    assert read(tmp_path / "map.yaml", "a b.csv").names == columns.names
    assert read(tmp_path / "map.yaml", "other.csv").names == {}


@pytest.mark.parametrize(("content", "says"), [
    ("a: [", "not YAML"), ("- a", "write the sheet's name"), ("exams.csv: pre", "write the sheet's name"),
    ("exams.csv: {a: 1}", "the column of `a` is no name")])
def test_files_that_are_no_mapping(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "map.yaml").write_text(content)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "map.yaml", "exams.csv")
    with pytest.raises(InputError, match=r"--map none\.yaml: cannot be read"):
        read(tmp_path / "none.yaml", "exams.csv")
