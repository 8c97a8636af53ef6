"""What an exam is divided into when it is prepared: its breasts, parts of its lesions, its views, or itself.

A unit says what a bundle's preprocessing is given, which arrays become of its result, and what `prepared.json` tells
of each. Everything else about preparing (what is done, what is skipped, how it is written) is `pipeline.prepare.run`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.datalist import Exam


class Unit(Protocol):
    """A way to divide exams.

    Attributes:
        modality: of the lists that it divides.
        name: of the list of cases in `prepared.json`.
        kept: what of the result's meta goes to the exam's record.
        partial: whether an exam may lack a contrast. A lesion mask it may always lack.
        outlining: images that say nothing but what a case tells under `outlines`.
    """

    modality: str
    name: str
    kept: tuple[str, ...]
    partial: bool  # an exam may lack a contrast
    outlining: tuple[str, ...]

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        """Images of an exam that are read."""

    def fingerprint(self, exam: Exam) -> Any:
        """What of the datalist the arrays depend on, as JSON can hold it."""

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        """What preprocessing takes."""

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        """The end of each array's name, the array, and what its record says of it."""

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Entries of `prepared.json`."""

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        """Print what was left out."""
