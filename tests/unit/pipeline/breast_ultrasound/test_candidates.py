"""The challenge's table of candidates: places kept through the file, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from marked_volumes import GRID

from pipeline.breast_ultrasound.candidates import read_candidates, write_candidates
from pipeline.errors import InputError
from pipeline.metrics import HotSpots
from transforms.grid import Grid


def test_challenge_candidates_keep_places_through_the_file(tmp_path: Path) -> None:
    path = tmp_path / "candidates.csv"
    grid = Grid((865, 682, 354), np.array([[-.2, 0, 0, 80], [0, -.073, 0, 3], [0, 0, .475674, -90], [0, 0, 0, 1]]))
    spots = HotSpots.of(grid.to_world([[314, 242, 189], [20, 30, 40.25]]), [0.91, 0.2])
    write_candidates(path, {"100": (spots, grid), "101": (HotSpots.of(np.zeros((0, 3)), []), grid)}, box_mm=12)
    lines = path.read_text().splitlines()
    assert lines[0] == "public_id,coordX,coordY,coordZ,x_length,y_length,z_length,probability"
    assert lines[1] == "100,189.00,242.00,314.00,25.23,164.38,60.00,0.91"
    found = read_candidates(path, {"100": grid, "101": grid})
    assert found["100"].points == pytest.approx(spots.points, abs=0.005)
    assert found["100"].scores.tolist() == [0.91, 0.2] and len(found["101"]) == 0
    write_candidates(path, {"100": (spots, grid)})
    assert path.read_text().startswith("public_id,coordX,coordY,coordZ,probability\n")
    assert len(read_candidates(path, {"100": grid})["100"]) == 2


@pytest.mark.parametrize(("text", "message"), [
    ("public_id,coordX,coordY,coordZ\n", "column `probability` is missing"),
    ("public_id,coordX,coordY,coordZ,probability\n7,1,2,3,.5\n", "row 2: its public_id is no volume"),
    ("public_id,coordX,coordY,coordZ,probability\n1,1,,3,.5\n", "row 2: `coordY` is empty"),
    ("public_id,coordX,coordY,coordZ,probability\n1,1,nan,3,.5\n", "row 2: `coordY` is not a number"),
])
def test_candidates_that_cannot_be_used_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "candidates.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_candidates(path, {"1": GRID})
    with pytest.raises(InputError, match="cannot be read"):
        read_candidates(tmp_path / "none.csv", {"1": GRID})
