"""What the exams of a study bring with them that a variant may need: `needs: [masks]` in `study.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.datalist import MASK, Datalist

OFFERS = {"masks": f"a `{MASK}`"}  # what a list can have -> of which exams have none, in words
MARKS = ("labels", "centres", "masks")  # what an annotator gives, and a variant's `marks` names


def offered(source: Datalist) -> set[str]:
    """What a list has of what variants can need."""
    return {"masks"} if any(MASK in exam.images for exam in source.exams) else set()


def will_do(source: Datalist) -> set[str]:
    """As `offered`, with what stands in for it where a variant is asked for by name: a lesion's size for its mask."""
    return offered(source) | ({"masks"} if any(m.size_mm for exam in source.exams for m in exam.lesions) else set())


def settings_needed(entry: Mapping[str, Any]) -> list[str]:
    """Of what a variant needs, the settings of `--set`."""
    return [need for need in entry.get("needs", []) if need not in OFFERS]


def missing(entry: Mapping[str, Any], has: set[str]) -> list[str]:
    """Of what a variant needs, what the list would have to bring and does not."""
    return [need for need in entry.get("needs", []) if need in OFFERS and need not in has]


def marks(source: Datalist) -> dict[str, int]:
    """How many marks of each kind a list holds: breasts with a label, lesions with a centre, outlined lesions."""
    outlined = [lesion for exam in source.exams if MASK in exam.images for lesion in exam.lesions]
    return {"labels": sum(b.get("malignant") is not None for exam in source.exams for b in exam.breasts.values()),
            "centres": sum(len(exam.points()) for exam in source.exams),
            "masks": sum(lesion.lesion_id.isdecimal() for lesion in outlined)}
