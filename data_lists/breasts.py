"""What converters of mammograms share: sides and views by name, and labels of breasts from their findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pipeline.datalist import Exam

SIDES = {"l": "L", "left": "L", "r": "R", "right": "R"}
VIEWS = {"cc": "CC", "mlo": "MLO"}
_MOST = 9  # images of one view that a list can name


def add_view(exam: Exam, side: str, view: str, path: str, left_out: Counter[str]) -> str | None:
    """Name an image `L-CC`, a repeat `L-CC-2` and so on; gives back the name, None where there are too many."""
    for number in range(1, _MOST + 1):
        name = f"{side}-{view}" + (f"-{number}" if number > 1 else "")
        if name not in exam.images:
            exam.images[name] = path
            return name
    left_out[f"images beyond {_MOST} of one view"] += 1
    return None


def label(malignant: Iterable[int | None], benign: Iterable[int | None]) -> dict[str, int | None]:
    """A breast's labels from those of its findings: the worst that is known, 0 only where all are."""
    def worst(values: Iterable[int | None]) -> int | None:
        found = set(values)
        return 1 if 1 in found else None if None in found or not found else 0

    return {"malignant": worst(malignant), "benign": worst(benign)}


def in_order(exam: Exam) -> Exam:
    """The exam with its views in one order, whatever the table's."""
    exam.images = {name: exam.images[name] for name in sorted(exam.images)}
    exam.breasts = {side: exam.breasts[side] for side in sorted(exam.breasts)}
    return exam
