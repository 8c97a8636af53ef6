"""Another cohort for a study that is trained: whether it can be scored, and its list as one that every fold tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.datalist import APART, MASK, Datalist
from pipeline.errors import InputError
from pipeline.prepare.cases import assignment
from transforms.load import image_digest, size_and_time

_AGAIN = "run the same `python -m pipeline study ...` command that made it again"


def demand_fit(source: Datalist, run: Path, own: Mapping[str, Any], bundle: str) -> None:
    """Refuse exams that a study's networks cannot read, or that are the study's own.

    An exam is the study's own where one of its images has the content of one of the study's, whatever their names.

    Args:
        source: the cohort.
        run: the study's folder.
        own: content of its prepared list.
        bundle: name of its bundle, for errors.

    Raises:
        InputError: names the first exam.
    """
    if source.modality != own["modality"]:
        raise InputError(f"{source.name}: its images are {source.modality}, {bundle} takes {own['modality']}; give "
                         "another cohort's list")
    known: dict[int, dict[str, str]] = {}  # size -> digest -> exam
    shared: set[str] | None = None
    for record in sorted((run / "prepared" / "records").glob("*.json")):
        try:
            images = json.loads(record.read_text(encoding="utf-8"))["sources"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"prepared/records/{record.name}: damaged; {_AGAIN}") from None
        images = {name: image for name, image in images.items() if name != MASK}  # empty ones are alike
        shared = set(images) if shared is None else shared & set(images)
        for image in images.values():
            known.setdefault(image["bytes"], {})[image["sha256"]] = record.stem
    if shared is None:
        raise InputError(f"{run.name}: prepared/records is empty, so that it cannot be told whose exams were trained "
                         f"on; {_AGAIN}")
    same: dict[str, str] = {}
    for exam in source.exams:
        if source.modality != "MG" and (lacking := sorted(shared - set(exam.images))):  # of views some may be missing
            raise InputError(f"exam {exam.exam_id}: has no {', '.join(lacking)}, which {bundle} was trained with; "
                             f"leave it out, or give its images (its list names {', '.join(exam.images)})")
        paths = [source.path(exam, name) for name in exam.images if name != MASK]
        found = (_same(path, known) for path in paths if path.exists())
        if its := next(filter(None, found), None):
            same[exam.exam_id] = its
    if same:
        first, its = next(iter(same.items()))
        more = f", and {len(same) - 1} more are such" if len(same) > 1 else ""
        raise InputError(f"exam {first}: has an image of the study's own exam {its}{more}; a cohort is external "
                         "without exams of the study: leave them out")


def _same(path: Path, known: Mapping[int, Mapping[str, str]]) -> str | None:
    """The study's exam that has this image; only images of a known size are read."""
    candidates = known.get(size_and_time(path)[0])
    return candidates.get(image_digest(path)) if candidates else None


def unit_of(own: Mapping[str, Any]) -> str:
    """What a prepared list divides exams into: its only list."""
    return next(key for key, value in own.items() if isinstance(value, list))


def for_every_fold(source: Datalist, own: Mapping[str, Any]) -> Datalist:
    """The list as one whose exams every fold of the study tests.

    Args:
        source: the cohort.
        own: content of the study's prepared list.
    """
    exams = [replace(exam, fold=0, validation_folds=[], held_out=False) for exam in source.exams]
    return replace(source, exams=exams,
                   folds={"count": own["folds"]["count"], APART: assignment(own, unit_of(own))})
