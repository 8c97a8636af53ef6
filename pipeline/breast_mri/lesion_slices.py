"""Slices of lesions: the unit of the contrast transfer, and its cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalist import MASK, Exam
from pipeline.errors import InputError
from pipeline.prepare.cases import labelled_cases


class LesionSlices:
    """One array a lesion, `(slices, C, Y, X)`: preprocessing gives what `transforms.LoadLesionSlices` does."""

    modality = "MR"
    name = "lesions"
    kept: tuple[str, ...] = ("left_out", "padded", "missing")
    partial = True
    outlining: tuple[str, ...] = ()

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return [*(c for c in channels if c != "sub"), MASK]

    def fingerprint(self, exam: Exam) -> Any:
        return [[m.lesion_id, *map(float, point)] for m, point in exam.points() if m.malignant is not None]

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        lesions = [(m.lesion_id, point) for m, point in exam.points() if m.malignant is not None]
        return {"image": {c: p for c, p in paths.items() if c != MASK},
                "mask": paths.get(MASK), "lesions": lesions}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        for lesion_id, patches in result["patches"].items():
            yield f"lesion{lesion_id}", patches.half().numpy(), {"lesion_id": lesion_id, "slices": len(patches),
                                                                  "curve": result["curves"][lesion_id]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        labels = {m.lesion_id: m for m in exam.lesions}
        for array in record["arrays"].values():
            lesion = labels[array["lesion_id"]]
            alone = sum(other.side == lesion.side for other in exam.lesions) == 1  # a reader's score is of the breast
            readers = {name: scores.get(lesion.side, scores.get("exam")) if alone else None
                       for name, scores in exam.readers.items()}
            yield {"side": lesion.side, "lesion_id": lesion.lesion_id, "image": array["image"],
                   "slices": array["slices"], "malignant": lesion.malignant, "missing": record["missing"],
                   "curve": array["curve"], "readers": readers}

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        left_out = sum(record.get("left_out", 0) for record in records)
        padded = sum(record.get("padded", 0) for record in records)
        slices = sum(case["slices"] for case in cases)
        print(f"{len(cases)} lesions with {slices} patches; {left_out} patches that hold several lesions are left out, "
              f"{padded} reach over the border and are padded", flush=True)


LESION_SLICES = LesionSlices()


def slices(folder: Path | str, fold: int, channels: Sequence[str], *splits: str) -> list[dict[str, Any]]:
    """One case a patch of a lesion, for `LoadSliced` (contrast transfer).

    Args:
        folder, fold, splits: as `pipeline.prepare.cases.labelled_cases`.
        channels: contrasts that will be read.

    Returns:
        dictionaries with `image` and `array` (path), `slice` (number in the array), `label` (1 = malignant), `exam_id`,
        `patient_id`, `side`, `lesion_id`, `curve` (mean of its core by phase, as the files have it), `split`, `groups`,
        `readers`.

    Raises:
        InputError: no such fold, no case in it, arrays of an earlier version, or an exam that lacks a contrast.
    """
    found = []
    for case in labelled_cases(folder, fold, splits, "lesions"):
        if "curve" not in case:  # phases then had fields and scales of their own, whatever the settings said
            raise InputError(f"{Path(folder).name}: was prepared by an earlier version; run prepare.yaml again")
        if lacking := [name for name in channels if name in case["missing"]]:
            raise InputError(f"exam {case['exam_id']} has no {', '.join(lacking)}; leave the exam out of the datalist, "
                             "or choose channels that it has")
        found += [{**case, "slice": k, "array": case["image"], "label": int(case["malignant"])}
                  for k in range(case["slices"])]
    return found
