"""Points of 3D Slicer: to RAS by what the file says, and no guess where it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError
from pipeline.files.points import Point, read_points


def write(path: Path, points: list[Any], **header: Any) -> Path:
    path.write_text(json.dumps({"@schema": "markups", "markups": [
        {"type": "Fiducial", "controlPoints": points, **header}]}))
    return path


POINTS = [{"label": "R malignant", "position": [-12.5, 0.0, 30], "positionStatus": "defined"},
          {"label": "later", "position": [0, 0, 0], "positionStatus": "undefined"}]


@pytest.mark.parametrize(("system", "expected"), [("LPS", (12.5, 0.0, 30.0)), ("RAS", (-12.5, 0.0, 30.0)),
                                                 (1, (12.5, 0.0, 30.0)), (0, (-12.5, 0.0, 30.0))])
def test_points_are_ras_whatever_the_file_s_space(tmp_path: Path, system: Any, expected: Any) -> None:
    path = write(tmp_path / "F.mrk.json", POINTS, coordinateSystem=system, coordinateUnits="mm")
    assert read_points(path) == [Point("R malignant", expected)]
    assert str(read_points(path)[0].position[1]) == "0.0"


@pytest.mark.parametrize(("points", "header", "text"), [
    (POINTS, {}, "LPS or RAS"),
    (POINTS, {"coordinateSystem": "LPS", "coordinateUnits": "m"}, "not in millimetres"),
    ([{"label": "a", "position": [1, 2]}], {"coordinateSystem": "LPS"}, "point 1 has no place"),
    ([{"label": "a", "position": [1, 2, float("nan")]}], {"coordinateSystem": "LPS"}, "point 1 has no place"),
    (["x"], {"coordinateSystem": "LPS"}, "point 1 is damaged"),
])
def test_what_cannot_be_placed_is_refused(tmp_path: Path, points: Any, header: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        read_points(write(tmp_path / "F.mrk.json", points, **header))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"markups": 3}', b"\x89PNG\r\n", b"x,y,z\n1,2,3\n"])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "F.mrk.json").write_bytes(content)
    with pytest.raises(InputError, match="not a markups file"):
        read_points(tmp_path / "F.mrk.json")
    with pytest.raises(InputError, match=r"gone\.mrk\.json: cannot be read"):
        read_points(tmp_path / "gone.mrk.json")
