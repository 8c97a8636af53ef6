"""Candidate points in the file format of the TDSC-ABUS challenge.

```
public_id,coordX,coordY,coordZ,x_length,y_length,z_length,probability
100,189.0,242.0,314.0,25.2,164.4,60.0,0.91
```

Coordinates are voxel indices, counted from 0, in the reverse of the image file's order of axes: X is its third axis
(the sweep), Y the second (depth), Z the first (lateral). The challenge scores boxes; to files without the three
lengths, which are points only, the reader is indifferent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.files.atomic import write_table
from pipeline.files.tables import read_table
from pipeline.metrics.hot_spots import HotSpots
from transforms.grid import Grid

_PLACE = ("coordX", "coordY", "coordZ")
_LENGTH = ("x_length", "y_length", "z_length")


def write_candidates(path: Path | str, candidates: Mapping[str, tuple[HotSpots, Grid]],
                     box_mm: float | None = None) -> None:
    """Write the candidates of several volumes, under a temporary name that is renamed.

    Args:
        path: the CSV file.
        candidates: a volume's public id to its hot spots and its grid.
        box_mm: edge of the cube that is written around each point, for the challenge's own scoring; None for none.
    """
    columns = ["public_id", *_PLACE, *(_LENGTH if box_mm else ()), "probability"]
    rows = []
    for public_id, (spots, grid) in candidates.items():
        lengths = [f"{length:.2f}" for length in (box_mm / grid.spacing)[::-1]] if box_mm else []
        for index, score in zip(grid.to_index(spots.points), spots.scores, strict=True):
            row = [public_id, *(f"{i + 0.0:.2f}" for i in index[::-1]), *lengths, f"{score:.6g}"]
            rows.append(dict(zip(columns, row, strict=True)))
    write_table(path, rows, columns)


def read_candidates(path: Path | str, grids: Mapping[str, Grid]) -> dict[str, HotSpots]:
    """Read candidates; every volume gets an entry, an empty one where the file has none for it.

    Args:
        path: the CSV file; further columns are ignored.
        grids: a volume's public id to its grid.

    Returns:
        Public id to hot spots in RAS mm.

    Raises:
        InputError: no such file, a column is missing, a number is none, or a volume is not among `grids`.
    """
    found: dict[str, list[list[float]]] = {public_id: [] for public_id in grids}
    for row in read_table(path, ["public_id", *_PLACE, "probability"]):
        if row.text("public_id") not in grids:
            raise row.error("its public_id is no volume of this list; correct it")
        found[row.text("public_id")].append([row.required_number(c) for c in (*_PLACE[::-1], "probability")])
    result = {}
    for public_id, grid in grids.items():
        numbers = np.reshape(found[public_id], (-1, 4)).astype(np.float64)
        result[public_id] = HotSpots.of(grid.to_world(numbers[:, :3]), numbers[:, 3])
    return result
