"""What a detector is trained on: boxes around the lesions that a mask holds, read off it after it has moved.

A box that is turned with the image would grow by its corners; the lesion does not. So the mask moves, and the box is
that of the voxels where it has arrived.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Transform

BENIGN, MALIGNANT = 1, 2  # classes of a detector; 0 is background
CLASSES = {BENIGN: "benign", MALIGNANT: "malignant"}


def boxes_of(mask: torch.Tensor, marks: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Boxes, classes and the mask of the lesions that are left in it.

    Args:
        mask: `(1, X, Y, Z)`, 0 or a lesion's number in each voxel.
        marks: number and malignant (0 or 1) of the breast's lesions; those that the mask does not hold, because they
            were cut away or another lies over them, are passed over.

    Returns:
        `boxes` `(M, 6)` float32, voxels `x0 y0 z0 x1 y1 z1`, ends not included, so that a single voxel has a box of 1;
        `labels` `(M,)` int64, 1 benign, 2 malignant; `mask` `(1, X, Y, Z)` uint8, numbered 1 to M in their order.
    """
    numbered = torch.zeros(mask.shape, dtype=torch.uint8)
    boxes: list[list[float]] = []
    labels: list[int] = []
    for number, malignant in marks:
        here = mask == number
        places = here[0].nonzero()
        if not len(places):
            continue
        boxes.append([*places.amin(dim=0).tolist(), *(places.amax(dim=0) + 1).tolist()])
        labels.append(MALIGNANT if malignant else BENIGN)
        numbered[here] = len(boxes)
    return {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 6),
            "labels": torch.tensor(labels, dtype=torch.int64), "mask": numbered}


class LesionBoxesd(Transform):
    """Replace a mask by a detector's `targets`: a dictionary of `boxes`, `labels` and `mask`, as of `boxes_of`.

    Without `mask` where it was made of sizes (`outlined` is False): such a breast trains classes and boxes alone.

    Args:
        keys: key of the mask; `marks` and `outlined` stand beside it.
    """

    def __init__(self, keys: str = "mask") -> None:
        self.key = keys

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        result = dict(data)
        targets = boxes_of(result.pop(self.key), result["marks"])
        if not result.pop("outlined", True):
            targets.pop("mask")
        return {**result, "targets": targets}
