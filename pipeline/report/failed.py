"""Values of a setting that could not be trained, as a share of the training exams with one class alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report.redact import redactor
from pipeline.study.step import FAILED


def failed_settings(folder: Path, study: Mapping[str, Any], homes: Mapping[str, str],
                    folds: Sequence[int]) -> dict[str, str]:
    """Variants of settings whose values are numbers (`curves`) that the report goes on without.

    A variant that is a row of its own as well is not among them: a table without it would be another.

    Args:
        folder: the study's.
        study: what `study.json` says.
        homes: the folder of each variant.
        folds: those that were asked for.

    Returns:
        name to what a reader is told, with the reason of the first stage that failed.
    """
    notes: dict[str, str] = {}
    for name, entry in study["variants"].items():
        settings = set(entry.get("each") or ())
        if not settings or not settings <= set(study.get("curves") or ()):
            continue
        for place in (folder / homes[name] / f"fold{fold}" for fold in folds):
            failed = sorted(place.glob(f"*/{FAILED}"))
            if name not in notes and failed and not (place / "predictions.csv").is_file():
                reason = redactor(folder)(_reason(failed[0]))
                notes[name] = f"{entry.get('label', name)} is left out, its training failed: {reason}"
    return notes


def _reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "its reason cannot be read"
