"""`python -m data_lists check A.json B.json`: patients that lists share, by all their names, and equal images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.datalist import MASK, Datalist, load
from transforms.load import image_digest, size_and_time

# One woman's names in the collections that share her.
_ALIASES = (
    (re.compile(r"(?:DUKE|BREAST_MRI)[_-]0*(\d+)"), "duke"),
    (re.compile(r"ISPY1[_-]0*(\d+)"), "ispy1"),
    (re.compile(r"(?:ISPY2|ACRIN-6698)[_-]0*(\d+)"), "ispy2"),
    (re.compile(r"(?:NACT|UCSF[_-]BR)[_-]0*(\d+)"), "nact"),
)


def main(paths: Sequence[str]) -> int:
    """Print what is shared; returns 1 where something is."""
    lists = [load(path) for path in paths]
    names = [Path(path).name for path in paths]
    found = [*shared_patients(lists, names), *equal_images(lists, names)]
    print("\n".join(found) if found else f"{len(lists)} lists: no patient and no image is there twice")
    return 1 if found else 0


def canonical(patient: str, where: str) -> str:
    """A patient's name whatever the collection calls her; ids that no rule knows are told apart by their collection."""
    for pattern, collection in _ALIASES:
        if match := pattern.match(patient.upper()):
            return f"{collection}:{match[1]}"
    return f"{where}:{patient}"


def shared_patients(lists: Sequence[Datalist], names: Sequence[str]) -> Iterable[str]:
    """One line for every pair of lists that share patients, and for lists that name one in two ways."""
    who: list[dict[str, set[str]]] = []
    for datalist in lists:
        own: dict[str, set[str]] = defaultdict(set)
        where = str(datalist.source.get("converter") or "csv")
        for exam in datalist.exams:
            own[canonical(exam.patient_id, where)].add(exam.exam_id)
        who.append(own)
        ids: dict[str, set[str]] = defaultdict(set)
        for exam in datalist.exams:
            ids[canonical(exam.patient_id, where)].add(exam.patient_id)
        twice = sorted(patient for patient, known in ids.items() if len(known) > 1)
        if twice:
            yield (f"{names[len(who) - 1]}: {len(twice)} patients under two names, the first in exams "
                   f"{', '.join(sorted(own[twice[0]])[:2])}")
    for i, mine in enumerate(who):
        for j in range(i + 1, len(who)):
            if both := sorted(set(mine) & set(who[j])):
                yield (f"{names[i]} and {names[j]}: {len(both)} patients in both, the first in exams "
                       f"{min(mine[both[0]])} and {min(who[j][both[0]])}")


def equal_images(lists: Sequence[Datalist], names: Sequence[str]) -> Iterable[str]:
    """One line for images of equal content in two exams; only images of equal size are read."""
    sizes: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for name, datalist in zip(names, lists, strict=True):
        for exam in datalist.exams:
            for image in (name for name in exam.images if name != MASK):
                path = datalist.path(exam, image)
                try:
                    sizes[size_and_time(path)[0]].append((f"{image} of exam {exam.exam_id} in {name}", path))
                except OSError:
                    yield f"{name}: {image} of exam {exam.exam_id} is not there, and was not compared"
    seen: dict[str, str] = {}
    for own in (own for size, own in sizes.items() if len(own) > 1 and size):
        for where, path in own:
            if (other := seen.setdefault(image_digest(path), where)) != where:
                yield f"equal images: {where} and {other}"
