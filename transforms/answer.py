"""What every host is answered: a result of plain values, and a map on the grid of the image that it asked about.

`monai.bundle run`, MONAI Label and our own commands read the same keys, so that each bundle's last step but one ends
here: the levels of a map, what viewers ask for, and the decision at a threshold are in one place.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from transforms.errors import InputError

LEVELS = (0.5, 0.75, 0.9)  # from which a voxel has level 1, 2 or 3
OUTPUTS = ("float", "labels")
_PLACE = ("original_affine", "spatial_shape", "space", "filename_or_obj")  # of an image's meta


def answered(data: Mapping[Hashable, Any], key: Hashable, result: Mapping[str, Any], heat: torch.Tensor,
             meta: Mapping[str, Any], output: str = "float", threshold: float | None = None) -> dict[Hashable, Any]:
    """The dictionary of an exam with its answer.

    Args:
        data: the exam's. Its `heatmap_output` overrides `output`, and so does a `result_dtype` of uint8, by which
            viewers say that they would cut a float map to zeros; MONAI Label passes on both from a request.
        key: where the map is put, e.g. `pred`.
        result: `type`, `probability` in 0–1, then what else is answered, plain values.
        heat: `(X, Y, Z)`, 0–1, on the grid of the image that was asked about.
        meta: of that image: `original_affine`, `spatial_shape`.
        output: `float`, or `labels`: levels 1 (from 0.50), 2 (0.75) and 3 (0.90) as uint8.
        threshold: probability from which the decision is positive, of a validation; None: none is made.

    Returns:
        `data` with `result`, to which `decision`, `heatmap` and the exam's `notes` are added; with the map `(1, X, Y,
        Z)` under `key`, a MetaTensor; and with `result_extension`, where nobody asked for one.

    Raises:
        InputError: no such form of a map.
    """
    viewer = "labels" if str(data.get("result_dtype", "")).endswith("uint8") else output
    form = data.get("heatmap_output", viewer)
    form = form[0] if isinstance(form, (list, tuple)) else form  # MONAI Label sends its choices along
    if form not in OUTPUTS:
        raise InputError(f"heatmap_output {str(form)[:20]!r}: choose {' or '.join(OUTPUTS)}")
    heat = heat.float()
    told = {**result, "heatmap": {"output": form, "levels": list(LEVELS), "max": round(float(heat.max()), 6)}}
    if threshold is not None:
        told["decision"] = {"threshold": float(threshold), "positive": told["probability"] >= float(threshold)}
    told["notes"] = [*told.get("notes", ()), *str(data.get("notes") or "").splitlines()]
    if form == "labels":
        heat = torch.stack([heat >= level for level in LEVELS]).sum(dim=0).to(torch.uint8)
    kept = {"affine": torch.as_tensor(meta["original_affine"]), **{name: meta[name] for name in _PLACE if name in meta}}
    return {**data, key: MetaTensor(heat[None].contiguous(), meta=kept), "result": told,
            "result_extension": data.get("result_extension") or ".nii.gz"}


class ResultTransform(MapTransform):
    """What every bundle's `…Resultd` has: where the image and the map are, and how the answer is told.

    Args:
        keys: the first is where the map is put, e.g. `pred`.
        image_key: the image that was asked about.
        output, threshold: as of `answered`.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", output: str = "float",
                 threshold: float | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.output, self.threshold = output, threshold

    def answered(self, data: Mapping[Hashable, Any], result: Mapping[str, Any],
                 heat: torch.Tensor) -> dict[Hashable, Any]:
        """`answered`, with this transform's settings."""
        return answered(data, self.keys[0], result, heat, data[self.image_key].meta, self.output, self.threshold)
