"""Whole exams: the unit of the doubly deep network, and its cases with four labels each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalist import Exam
from pipeline.errors import InputError
from pipeline.prepare.cases import labelled_cases
from transforms.breast_mri.breasts import SIDES
from transforms.breast_mri.slice_stacks import phases_of
from transforms.grid import Grid, triple

KINDS = ("benign", "malignant")
TASKS = tuple((side, kind) for side in SIDES for kind in KINDS)  # the order of labels and of the network's answers
UNKNOWN = -1
_SUBSETS = 0  # seed of the order in which subsets take patients


class WholeExams:
    """One array an exam, `(phases, Z, Y, X)` float16: preprocessing gives what `transforms.LoadSliceStack` does."""

    modality = "MR"
    name = "exams"
    kept: tuple[str, ...] = ("scales", "phases", "missing")
    partial = True
    outlining: tuple[str, ...] = ()

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return channels

    def fingerprint(self, exam: Exam) -> Any:
        return None  # both breasts are on every array, whatever is known of them

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        return {"image": dict(paths)}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        image = result["image"]
        voxels = image.as_tensor().permute(0, 3, 2, 1).half().numpy()  # (P, Z, Y, X)
        exam = {"affine": np.asarray(image.meta["original_affine"]).tolist(),
                "shape": [int(n) for n in image.meta["spatial_shape"]]}
        yield "stack", voxels, {"affine": image.meta["stack_affine"].tolist(), "shape": list(image.shape[1:]),
                                "exam": exam}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        (array,) = record["arrays"].values()
        grid = Grid(triple(array["shape"]), np.asarray(array["affine"]))
        labels = {side: {kind: exam.breasts[side].get(kind) for kind in KINDS}
                  for side in SIDES if side in exam.breasts}
        known = [breast["malignant"] for breast in labels.values() if breast["malignant"] is not None]
        yield {
            "image": array["image"],
            "affine": array["affine"],
            "exam_grid": array.get("exam"),  # as the exam's files have it
            "phases": record["phases"],
            "missing": record["missing"],
            "breasts": labels,
            "malignant": max(known, default=None),
            "lesions": [[*map(float, grid.to_index(np.asarray(point))), m.side, m.malignant]
                        for m, point in exam.points() if m.malignant is not None and grid.contains(np.asarray(point))],
            "readers": {name: {side: scores.get(side, scores.get("exam")) for side in labels}
                        for name, scores in exam.readers.items()},
        }

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        if lacking := sum(bool(case["missing"]) for case in cases):
            print(f"note: {lacking} exams lack a phase; inputs that need it are refused for lists that hold them")


WHOLE_EXAMS = WholeExams()


def labels_of(breasts: Mapping[str, Mapping[str, int | None]]) -> list[int]:
    """The four labels in the order of `TASKS`: 0, 1, or -1 for what is unknown, as of a breast that was not imaged."""
    found = [breasts.get(side, {}).get(kind) for side, kind in TASKS]
    return [UNKNOWN if label is None else int(label) for label in found]


def answers_of(kind: str) -> list[int]:
    """Numbers, in the order of `TASKS`, of the answers about one kind of finding: `malignant` is `[1, 3]`."""
    return [i for i, (_, other) in enumerate(TASKS) if other == kind]


def exams(folder: Path | str, fold: int, input: str, *splits: str, share: float = 1.0) -> list[dict[str, Any]]:
    """One case an exam of which something is known.

    Args:
        folder, fold, splits: as `pipeline.prepare.cases.labelled_cases`.
        input: of the network; every exam must have its phases.
        share: part of the patients. Subsets are nested: a smaller one's patients are all in a larger one.

    Returns:
        dictionaries with `image` and `array` (path), `phases` that the array holds, `label` (four of 0, 1 and -1, see
        `labels_of`), `exam_id`, `patient_id`, `split`, `lesions` (voxel x, y, z, side and malignant), `affine`,
        `breasts`, `groups`, `readers`.

    Raises:
        InputError: no such fold, no case in it, an exam without one of the input's phases, or a share that is none; of
            what trains or validates, that no breast, or every breast, is malignant.
    """
    if not 0 < share <= 1:
        raise InputError(f"share {share}: give a part of the training patients, above 0 and up to 1")
    needed = phases_of(input)
    found = [{**case, "array": case["image"], "label": labels_of(case["breasts"])}
             for case in labelled_cases(folder, fold, splits, "exams")]
    found = [case for case in found if set(case["label"]) != {UNKNOWN}]
    for case in found:
        if lacking := [name for name in needed if name not in case["phases"]]:
            raise InputError(f"exam {case['exam_id']} has no {', '.join(lacking)}, which input {input} is made of; "
                             "leave the exam out of the datalist, or choose another input", code="missing_phase")
    if share < 1:
        taken = _patients(found, share)
        found = [case for case in found if case["patient_id"] in taken]
    malignant = {case["label"][i] for case in found for i in answers_of("malignant")} - {UNKNOWN}
    if "test" not in splits and malignant != {0, 1}:
        raise InputError(f"fold {fold}, share {share:g} of {' and '.join(splits)}: {len(found)} exams without "
                         f"a {'non-' if malignant == {1} else ''}malignant breast; both are needed: leave this share "
                         "out, or add exams", code="one_class")
    return found


def _patients(cases: Sequence[Mapping[str, Any]], share: float) -> set[str]:
    """The first patients of one random order of them all, rounded up."""
    names = sorted({case["patient_id"] for case in cases})
    order = np.random.default_rng(_SUBSETS).permutation(len(names))
    return {names[i] for i in order[: math.ceil(share * len(names))]}
