"""Breasts: the unit that MRI exams are divided into, and the cases that training takes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalist import MASK, Exam
from pipeline.errors import InputError
from pipeline.prepare.cases import labelled_cases
from transforms.grid import Grid, triple

MASKS = 1  # raise it whenever the same mask gives another array
_MASKED = "_mask"  # end of a mask's name behind its breast's


class Breasts:
    """One array a breast, `(C, Z, Y, X)`: preprocessing gives `(S, C, X, Y, Z)` as `transforms.LoadBreasts` does.

    Of an exam with a lesion mask, a breast has a second array, `(1, Z, Y, X)` uint8: 0 or a lesion's number.
    """

    modality = "MR"
    name = "breasts"
    kept: tuple[str, ...] = ("scales", "shifts")
    partial = False
    outlining: tuple[str, ...] = (MASK,)

    def files(self, channels: Sequence[str]) -> Sequence[str]:
        return [*channels, MASK]

    def fingerprint(self, exam: Exam) -> Any:
        sides = sorted(exam.breasts)  # alone where there is no mask: such arrays are what they always were
        return {"sides": sides, "masks": MASKS} if MASK in exam.images else sides

    def inputs(self, exam: Exam, paths: Mapping[str, Path]) -> dict[str, Any]:
        images = {name: path for name, path in paths.items() if name != MASK}
        return {"image": images, "sides": sorted(exam.breasts), **({"mask": paths[MASK]} if MASK in paths else {})}

    def arrays(self, result: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, dict[str, Any]]]:
        image = result["image"]
        exam = {"affine": np.asarray(image.meta["original_affine"]).tolist(),
                "shape": [int(n) for n in image.meta["spatial_shape"]]}
        for side, breast, affine in zip(image.meta["sides"], image, image.meta["breast_affines"], strict=True):
            voxels = breast.as_tensor().permute(0, 3, 2, 1).half().numpy()  # (C, Z, Y, X)
            yield side, voxels, {"affine": affine.tolist(), "shape": list(breast.shape[1:]), "exam": exam}
        for side, mask in zip(image.meta["sides"], result.get("mask", ()), strict=False):
            yield f"{side}{_MASKED}", mask[None], {"numbers": [int(n) for n in np.unique(mask) if n]}

    def cases(self, exam: Exam, record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for side, array in record["arrays"].items():
            if side.endswith(_MASKED):
                continue
            grid = Grid(triple(array["shape"]), np.asarray(array["affine"]))
            marked = [(lesion, np.asarray(point)) for lesion, point in exam.points()
                      if lesion.side == side and lesion.malignant is not None]
            inside = [(lesion, point) for lesion, point in marked if grid.contains(point)]
            yield {
                "side": side,
                "image": array["image"],
                "affine": array["affine"],
                "exam_grid": array.get("exam"),  # of the phases as the exam's files have them
                "malignant": exam.breasts[side].get("malignant"),
                "lesions": [[*map(float, grid.to_index(point)), m.malignant] for m, point in inside],
                "lesions_outside_crop": len(marked) - len(inside),
                "readers": {name: scores.get(side, scores.get("exam")) for name, scores in exam.readers.items()},
                **_outlines(exam, side, grid, record["arrays"].get(f"{side}{_MASKED}")),
            }

    def tell(self, cases: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]) -> None:
        if lost := sum(case["lesions_outside_crop"] for case in cases):
            print(f"warning: {lost} lesion centres lie outside their breast's crop and are not used in stage 1; "
                  "see lesions_outside_crop in prepared.json")


BREASTS = Breasts()


def _outlines(exam: Exam, side: str, grid: Grid, mask: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is known of a breast's lesions beside their centres, under the key `outlines`; no key where it is nothing.

    With a mask these are `mask` and `sha256`, its file; `marks`, number and malignant of each lesion that it holds;
    `outside_crop`, how many of the breast's lesions it holds no more; `unlabelled`, its other numbers, but for those of
    the other breast's lesions. With sizes: `extents`, voxel x, y, z of a lesion's centre, its extent in voxels along
    the same axes, and malignant.
    """
    found: dict[str, Any] = {}
    labelled = [lesion for lesion in exam.lesions if lesion.malignant is not None]
    if mask is not None:
        numbers = {int(m.lesion_id): m for m in labelled if m.lesion_id.isdecimal()}
        own = {number: m.malignant for number, m in numbers.items() if m.side == side}
        found |= {"mask": mask["image"], "sha256": mask["sha256"],
                  "marks": [[n, own[n]] for n in mask["numbers"] if n in own],
                  "outside_crop": len(own.keys() - set(mask["numbers"])),
                  "unlabelled": [n for n in mask["numbers"] if n not in numbers]}
    voxels = np.abs(np.linalg.inv(grid.affine[:3, :3]))  # mm along the patient's axes to voxels along the grid's
    sized = [[*map(float, grid.to_index(np.asarray(m.point))), *map(float, voxels @ np.asarray(m.size_mm)), m.malignant]
             for m in labelled if m.side == side and m.point and m.size_mm and grid.contains(np.asarray(m.point))]
    found |= {"extents": sized} if sized else {}
    return {"outlines": found} if found else {}


def breasts(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a breast with a known label.

    Args:
        folder: what `prepare.yaml` wrote.
        fold: which fold.
        splits: of `train`, `validation`, `test`.

    Returns:
        dictionaries with `image` (path), `label` (1 = malignant), `exam_id`, `patient_id`, `side`, `split`,
        `lesions` (voxel x, y, z and malignant), `affine`, `groups`, `readers`.

    Raises:
        InputError: no such fold, or no case in it.
    """
    return [
        {**case, "label": int(case["malignant"])}
        for case in labelled_cases(folder, fold, splits) if case["malignant"] is not None
    ]


def patches(folder: Path | str, fold: int, *splits: str, healthy: float = 0.0) -> list[dict[str, Any]]:
    """One case a patch that stage 1 is trained on: lesions, and places in breasts that have none.

    Ours: the paper's patches all hold a lesion. A network that never saw tissue without one has no answer for most of
    what stage 2 shows it. Classes are drawn equally often, so that of the patches without malignancy a share of
    2 · `healthy` is of such places.

    Args:
        folder, fold, splits: as `pipeline.prepare.cases.labelled_cases`.
        healthy: share of all drawn patches that lie in training breasts without a lesion; 0 is the paper.

    Returns:
        as `lesions`; a healthy place has `center` None and is drawn anew each time.

    Raises:
        InputError: as `lesions`, a share that is none, or no breast without lesion.
    """
    if not 0 <= healthy < 0.5:
        raise InputError(f"healthy_share is {healthy}; give a share of all patches from 0 to below 0.5")
    found = lesions(folder, fold, *splits)
    if healthy == 0:
        return found
    free = [{**case, "center": None, "label": 0} for case in labelled_cases(folder, fold, splits)
            if case["malignant"] == 0 and not case["lesions"] and not case["lesions_outside_crop"]]
    if not free:
        raise InputError(f"fold {fold} has no breast without lesion in {' or '.join(splits)}; set healthy_share to 0")
    benign = sum(case["label"] == 0 for case in found)
    wanted = round(healthy / (0.5 - healthy) * benign) if benign else len(free)
    return found + [free[i % len(free)] for i in range(wanted)]


def lesions(folder: Path | str, fold: int, *splits: str) -> list[dict[str, Any]]:
    """One case a marked lesion with a known label, for `LoadLesionPatchd`.

    Args, Raises: as `breasts`.

    Returns:
        the breast's dictionary with `center` (voxel x, y, z) and `label` of the lesion.
    """
    found = [
        {**case, "center": [x, y, z], "label": int(malignant)}
        for case in labelled_cases(folder, fold, splits) for x, y, z, malignant in case["lesions"]
    ]
    if not found:
        raise InputError(f"fold {fold} has no marked lesion in {' or '.join(splits)}; stage 1 needs lesion centres: "
                         "give lesions.csv to the converter, or train with naive.yaml")
    return found
