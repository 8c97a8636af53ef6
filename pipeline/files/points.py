"""Points that a reader set in 3D Slicer: markups files, `.mrk.json`, as RAS millimetres."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError

# How a file names its space, and the signs that take it to RAS. Slicer wrote numbers before it wrote names.
_SIGNS = {"RAS": (1.0, 1.0), "0": (1.0, 1.0), "LPS": (-1.0, -1.0), "1": (-1.0, -1.0)}


@dataclass(frozen=True)
class Point:
    """One point: what the reader called it, and `(x, y, z)` in RAS millimetres."""

    label: str
    position: tuple[float, float, float]


def read_points(path: Path | str) -> list[Point]:
    """The points of a markups file, in their order; points that were announced but never set are left out.

    Args:
        path: of 3D Slicer, with one list of points or several; each says whether it is LPS or RAS.

    Raises:
        InputError: not such a file, a space that is not said, lengths in other units, or a place that is no place.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}); check its name") from None
    except ValueError:
        raise InputError(f"{path.name}: not a markups file of 3D Slicer; save the points as .mrk.json") from None
    lists = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(lists, list) or not all(isinstance(each, dict) for each in lists):
        raise InputError(f"{path.name}: not a markups file of 3D Slicer; save the points as .mrk.json")
    found = []
    for markup in lists:
        signs = _SIGNS.get(str(markup.get("coordinateSystem")))
        if signs is None:
            raise InputError(f"{path.name}: does not say whether its points are LPS or RAS; save it again")
        if markup.get("coordinateUnits", "mm") not in ("mm", ["mm"] * 3):
            raise InputError(f"{path.name}: its points are not in millimetres; save them in mm")
        for number, point in enumerate(markup.get("controlPoints") or [], start=1):
            if not isinstance(point, dict):
                raise InputError(f"{path.name}: point {number} is damaged; save it again with 3D Slicer")
            if point.get("positionStatus", "defined") != "defined":
                continue
            place = point.get("position")
            if not (isinstance(place, list) and len(place) == 3 and all(
                    isinstance(v, (int, float)) and math.isfinite(v) for v in place)):
                raise InputError(f"{path.name}: point {number} has no place; set it again, or delete it in 3D Slicer")
            # `+ 0.0` turns a flipped zero, -0.0, into 0.0.
            found.append(Point(str(point.get("label", "")),
                               (signs[0] * place[0] + 0.0, signs[1] * place[1] + 0.0, float(place[2]))))
    return found
