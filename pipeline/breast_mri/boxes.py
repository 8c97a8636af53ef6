"""Lesions as boxes: the cases that detectors take, and the batches they are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import InputError
from pipeline.prepare.cases import labelled_cases
from pipeline.training.distributed import is_first


def detections(folder: Path | str, fold: int, *splits: str, everything: bool = False) -> list[dict[str, Any]]:
    """One case a breast with a known label, and what is known of its lesions' outlines, for `LoadLesionMaskd`.

    Left out, and counted aloud, are breasts that would teach a detector that a lesion is none: malignant ones in whose
    crop the mask shows no malignant lesion, and those with lesions that have neither mask nor size.

    Args:
        folder: what `prepare.yaml` wrote.
        fold: which fold.
        splits: of `train`, `validation`, `test`.
        everything: leave nothing out; a breast's score needs no outline.

    Returns:
        as `pipeline.breast_mri.breasts.breasts`, with `mask` (path, or None), `marks` (number and malignant of the
        lesions in it) and `extents` (of lesions without mask whose size is known).

    Raises:
        InputError: no such fold or no case in it, no lesion with mask or size, a number in a mask that no lesion has,
            or a lesion that contradicts its breast.
    """
    cases = [case for case in labelled_cases(folder, fold, splits) if case["malignant"] is not None]
    found, left, cut = [], 0, 0
    for case in cases:
        known = case.get("outlines", {})
        where = f"exam {case['exam_id']}, breast {case['side']}"
        if known.get("unlabelled"):
            raise InputError(f"{where}: number {known['unlabelled'][0]} of its lesion mask is no lesion with a label; "
                             "list it with its label, or take it out of the mask, and run prepare.yaml again",
                             code="number_without_label")
        marks, extents = known.get("marks", []), known.get("extents", [])
        extents = [] if "mask" in known else extents
        cut += known.get("outside_crop", 0)
        worst = max((int(malignant) for *_, malignant in [*marks, *extents]), default=0)
        if worst > case["malignant"]:
            raise InputError(f"{where}: a lesion is malignant and the breast is not; correct the datalist, and run "
                             "prepare.yaml again", code="lesion_label_contradicts")
        complete = "mask" in known or len(extents) == len(case["lesions"])
        if not everything and (worst < case["malignant"] or not complete):
            left += 1
            continue
        found.append({**case, "label": int(case["malignant"]), "marks": marks, "extents": extents,
                      "mask": str(Path(folder) / known["mask"]) if "mask" in known else None,
                      **({"mask_sha256": known["sha256"]} if "mask" in known else {})})
    if not any(case["marks"] or case["extents"] for case in found) and not everything:
        raise InputError(f"fold {fold} has no lesion with a mask or a size in {' or '.join(splits)}; detectors need "
                         "`lesions_mask` or sizes in the datalist: see docs/how_to/own_exams.md")
    if is_first() and (left or cut) and not everything:
        print(f"detectors: {left} of {len(cases)} breasts of {' and '.join(splits)} are left out, whose lesions are "
              f"not all outlined; {cut} outlined lesions lie outside their breast's crop", flush=True)
    return found


def prepare_batch(batch: Mapping[str, Any], device: torch.device | str | None = None, non_blocking: bool = False,
                  **kwargs: Any) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]], tuple[Any, ...], dict[str, Any]]:
    """What MONAI's engines give a detector: `network(image, targets)`.

    Args:
        batch: of `pipeline.training.batches.collate`, with the `targets` of `transforms.LesionBoxesd`.
        device, non_blocking, kwargs: as engines give them.

    Returns:
        images; targets, which metrics find as the output's label; the same as the network's further argument; no
        keywords.
    """
    image = batch["image"].to(device, non_blocking=non_blocking)
    targets = [{key: value.to(device, non_blocking=non_blocking) for key, value in each.items()}
               for each in batch["targets"]]
    return image, targets, (targets,), {}
