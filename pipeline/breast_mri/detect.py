"""Boxes of whole breasts: of one pass, or merged of patches, of mirrored copies and of several networks."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from pipeline.networks.checkpoint import load_weights
from pipeline.networks.detection.ensemble import detect


class BoxInferer(Inferer):
    """Boxes of breasts `(B, C, X, Y, Z)`, a dictionary each, or of exams of several `(B, S, C, X, Y, Z)`: a list each.

    Where there is more than one view of a breast, the views' boxes are merged by weighted clustering
    (`pipeline.networks.detection.ensemble`).

    Args:
        patch_size: voxels `(x, y, z)` of overlapping patches; None: the whole breast at once.
        flip_axes: axes along which mirrored copies are looked at too, in all combinations.
        more_weights: files of further networks of the same kind, such as other epochs'.
        cases: what is scored, of a prepared dataset: further networks must be of the same fold.
    """

    def __init__(self, patch_size: Sequence[int] | None = None, flip_axes: Sequence[int] = (),
                 more_weights: Sequence[Path | str] = (), cases: Sequence[Mapping[str, Any]] = ()) -> None:
        self.patch_size = None if patch_size is None else tuple(patch_size)
        self.flip_axes = tuple(flip_axes)
        self.more_weights = list(more_weights)
        self.cases = cases
        self.others: list[nn.Module] = []

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> list[Any]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        while len(self.others) < len(self.more_weights):
            path = self.more_weights[len(self.others)]
            self.others.append(load_weights(copy.deepcopy(network), path, "", "name an existing file with "
                                            "--more_weights", self.cases).eval())
        network.eval()
        networks = [network, *self.others]
        with torch.no_grad():
            found = [detect(networks, image[None], patch_size=self.patch_size, flip_axes=self.flip_axes)[0]
                     for image in inputs.flatten(0, -5)]
        sides = inputs.shape[1] if inputs.ndim == 6 else 0
        return [found[i : i + sides] for i in range(0, len(found), sides)] if sides else found
