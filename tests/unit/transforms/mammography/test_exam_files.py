"""Which file is which view: by its name, by the request, or by its header."""

from __future__ import annotations

from pathlib import Path

import pytest

from transforms.errors import InputError
from transforms.mammography.exam_files import find_views, images_in, named


def test_views_are_named_after_the_ends_of_files_names() -> None:
    files = [Path(name) for name in ("a_L-CC.png", "L_CC_2.dcm", "x.L-CC.tif", "r_mlo.png", "1.2.840.dcm")]
    assert {view: Path(path).name for view, path in named(files).items()} == {
        "L-CC": "a_L-CC.png", "L-CC-2": "L_CC_2.dcm", "L-CC-3": "x.L-CC.tif", "R-MLO": "r_mlo.png",
        "1.2.840": "1.2.840.dcm"}


def test_a_file_alone_or_the_exam_beside_it(tmp_path) -> None:
    for name in ("p1.png", "p1.exam/L-CC.png", "p1.exam/R-CC.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    files, shown = find_views(tmp_path / "p1.png")
    assert list(files) == ["L-CC", "R-CC"] and shown == str(tmp_path / "p1.png")
    alone = tmp_path / "p1.exam" / "R-CC.png"
    assert find_views(str(alone)) == ({"R-CC": str(alone)}, str(alone))
    assert find_views(str(alone), "L-MLO") == ({"L-MLO": str(alone)}, str(alone))
    assert find_views({"L-CC": alone}) == ({"L-CC": str(alone)}, None)
    assert find_views([alone]) == find_views({"R-CC": alone})


def test_files_without_an_ending_are_looked_into(tmp_path) -> None:
    (tmp_path / "IM1").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "README").write_bytes(b"DICM")
    assert [path.name for path in images_in(tmp_path)] == ["IM1"]
    (tmp_path / "a.jpg").touch()
    with pytest.raises(InputError, match=r"a\.jpg: mammograms are not read from this format"):
        images_in(tmp_path)
