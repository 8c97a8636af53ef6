"""One walk over a download: names to paths, half a download refused, another dataset recognised."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from data_lists.files import Matched, Tree
from pipeline.errors import InputError


def test_names_and_folders_to_paths_inside_the_root(tmp_path: Path) -> None:
    for name in ("b/X.dcm", "a/deep/x.dcm", ".cache/x.dcm", "a/t.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    tree = Tree(tmp_path)
    assert tree.named("X.DCM") == "a/deep/x.dcm" and tree.all_named("*.dcm") == ["a/deep/x.dcm", "b/X.dcm"]
    assert tree.named("y.dcm") is None and tree.folders["a/deep"] == ["x.dcm"]
    assert tree.table("duke", "no.csv", "T*.csv") == tmp_path / "a" / "t.csv"


def test_another_dataset_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "finding_annotations.csv").touch()
    with pytest.raises(InputError, match=r"no t\.xlsx in it; this looks like vindr-mammo"):
        Tree(tmp_path).table("duke", "t.xlsx")
    with pytest.raises(InputError, match="give the folder that holds the whole download of vindr-mammo"):
        Tree(tmp_path).table("vindr-mammo", "t.xlsx")
    with pytest.raises(InputError, match="no such folder"):
        Tree(tmp_path / "gone")


def test_two_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.csv").touch()
    with pytest.raises(InputError, match="2 files are called"):
        Tree(tmp_path).table("duke", "t.csv")


def test_half_a_download_is_refused_and_a_few_files_are_counted() -> None:
    matched, left_out = Matched(), Counter[str]()
    for k in range(100):
        matched.add(None if k in (40, 41) else "there", f"image {k}")
    matched.check(0.95, left_out)
    assert left_out == {"listed images that are not there": 2}
    with pytest.raises(InputError, match="2 of 100 listed images are not there, the first is image 40"):
        matched.check(0.99, left_out)
    with pytest.raises(InputError, match="--least 2"):
        matched.check(2, left_out)
    nothing = Matched()
    nothing.add(None, "image")
    with pytest.raises(InputError, match="1 of 1"):
        nothing.check(0.0, left_out)
