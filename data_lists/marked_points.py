"""Lesions as points that a reader set in 3D Slicer: one markups file an exam, `EXAM.mrk.json`, or in a folder `EXAM`.

A point's name says its breast, `L` or `R`, and may say what the lesion is: `L malignant`, `right benign 2`. Where it
does not, the breast's own label decides if it can: in a breast without cancer every lesion is benign, in one with
cancer and nothing benign every lesion is malignant; else it is unknown. An exam of one breast needs no side.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pipeline.datalist import Exam, InputError, Lesion
from pipeline.files.points import read_points

SUFFIX = ".mrk.json"
_SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
_KINDS = {"malignant": 1, "cancer": 1, "benign": 0}


def add(folder: Path | str, exams: dict[str, Exam], find: Callable[[str], str | None]) -> None:
    """Add the points of all files under a folder to their exams.

    Args:
        folder: with the markups files.
        exams: by id; lesions are added in place.
        find: gives an exam's id as the exams' sheet has it, None for an exam that it lacks.

    Raises:
        InputError: no such folder or file, a file of no exam, or a point whose breast is not known.
    """
    folder = Path(folder)
    files = sorted(folder.rglob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not files:
        raise InputError(f"--points {folder.name}: no folder with {SUFFIX} files; save each exam's points as "
                         f"EXAM{SUFFIX} in 3D Slicer")
    for path in files:
        try:
            exam_id = find(path.name.removesuffix(SUFFIX)) or find(path.parent.name)
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from None
        if exam_id is None:
            raise InputError(f"{path.name}: is named after no exam of the exams' sheet; rename it to EXAM{SUFFIX}")
        exam = exams[exam_id]
        for number, point in enumerate(read_points(path), start=1):
            words = re.findall("[a-z]+", point.label.lower())
            sides = {_SIDES[word] for word in words if word in _SIDES}
            kinds = {_KINDS[word] for word in words if word in _KINDS}
            if not sides and len(exam.breasts) == 1:
                sides = set(exam.breasts)
            if len(sides) != 1 or not sides <= set(exam.breasts):
                raise InputError(f"{path.name}: point {number} does not say which imaged breast it is in; name it "
                                 "`L …` or `R …` in 3D Slicer")
            side = sides.pop()
            malignant = kinds.pop() if len(kinds) == 1 else _of_breast(exam.breasts[side])
            exam.lesions.append(Lesion(side, point.position, malignant, str(len(exam.lesions) + 1)))


def _of_breast(breast: dict[str, int | None]) -> int | None:
    """A lesion's label where its breast's labels leave no choice."""
    if breast.get("malignant") == 0:
        return 0
    return 1 if breast.get("malignant") == 1 and breast.get("benign") == 0 else None
