"""One rule for what names exams, lesions and files: a name is a path's last part and a table's cell, and nothing else.

A name such as `../../x` leaves its folder, one with a line break or an escape sequence forges what is printed, `=cmd`
is run by a spreadsheet, and `E1` and `e1` are one file on some systems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Protocol

from pipeline.errors import InputError

LONGEST = 100  # characters; file systems take 255 bytes, and endings such as `_lesion12_heatmap.nii.gz` come behind it
RULE = f"letters, digits and . _ - only, a letter or digit first, at most {LONGEST} characters"

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}", re.ASCII)
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.,]*([eE][+-]?\d+)?$)")  # `-1.5` is a number, `-` alone is a text


def is_name(text: str) -> bool:
    """Whether a text may name an exam, a lesion or a file."""
    return _NAME.fullmatch(text) is not None


def is_plain(text: str) -> bool:
    """Whether a cell stays a text in every spreadsheet: printable, of bearable length, not begun like a formula."""
    return text.isprintable() and len(text) <= LONGEST and not _FORMULA.match(text)


def twins(names: Iterable[str]) -> list[str]:
    """Names that are there again, be it in other letters' case."""
    seen: set[str] = set()
    found = []
    for name in names:
        key = name.casefold()
        if key in seen:
            found.append(name)
        seen.add(key)
    return found


class Named(Protocol):
    """What of an exam has a name."""

    exam_id: str
    patient_id: str
    images: dict[str, str]
    lesions: list[Any]
    groups: dict[str, str]
    readers: dict[str, dict[str, float]]


def check_names(exams: Iterable[Named]) -> None:
    """Refuse exams whose names cannot be those of files, or whose texts a spreadsheet would run.

    Exams are named by their number in the list: what is wrong with a name may be that it cannot be printed.

    Raises:
        InputError: the first such name.
    """
    exams = list(exams)
    for number, exam in enumerate(exams, start=1):
        wrong = [f"`{what}`" for what, names in (
            ("exam_id", [exam.exam_id]), ("images", exam.images),
            ("lesion_id", [lesion.lesion_id for lesion in exam.lesions if lesion.lesion_id])) if not all(
            map(is_name, names))]
        if wrong:
            raise InputError(f"exam {number} of the list: {wrong[0]} may hold {RULE}; rename it")
        cells = [*exam.groups, *exam.groups.values(), *exam.readers]
        if not exam.patient_id or not all(map(is_plain, [exam.patient_id, *cells])):
            raise InputError(f"exam {number} of the list: its patient's id, a group or a reader is empty, too long, "
                             "cannot be printed or begins like a formula (= + - @); rename it")
    if again := twins(exam.exam_id for exam in exams):
        raise InputError(f"exam {again[0]} is there twice, be it in other letters' case; every exam takes a name of "
                         "its own")
    marked = {(exam.exam_id, lesion.lesion_id) for exam in exams for lesion in exam.lesions if lesion.lesion_id}
    files = [exam.exam_id for exam in exams] + sorted(f"{exam}_lesion{lesion}" for exam, lesion in marked)
    if again := twins(files):
        raise InputError(f"{again[0]} would name files of two lesions, or of an exam and a lesion; rename one of the "
                         "exams")
