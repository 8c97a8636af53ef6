"""Heat maps of views, computed once and kept (paper §3.5): the further channels of the four-view comparator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pipeline.files.store import ArrayStore, file_digest, key_of
from pipeline.mammography.comparator.patch_maps import STEP, PatchHeatMaps
from pipeline.networks.checkpoint import load_weights
from pipeline.networks.patch_densenet import PATCH, PatchDenseNet
from transforms.mammography.geometry import Box, cut, standardise

_FULL = 65535  # a probability of 1, as it is kept
_REMEDY = "download the patch classifier's weights, or set patch_classifier to null for the image-only form"


class ViewHeatMaps:
    """Heat maps of breasts cut out of their views, from a folder where they are known.

    They are kept as 16-bit whole numbers; names come of the pixels, the classifier's weights and `precision`. An
    exam's take half a minute and more on one core, reading them a fraction of a second.

    Args:
        classifier: file of the patch classifier's weights, with torchvision's names.
        folder: where maps are kept.
        precision: of `PatchHeatMaps`.
        device: where patches are classified.

    Raises:
        InputError: no such file, or not the patch classifier's weights.
    """

    def __init__(self, classifier: Path | str, folder: Path | str, precision: str = "auto",
                 device: torch.device | str = "cpu") -> None:
        self.about = (file_digest(classifier, _REMEDY), precision, STEP)
        self.store = ArrayStore(folder)
        self.device = torch.device(device)
        network = load_weights(PatchDenseNet(), classifier, missing=_REMEDY).to(self.device)
        self.classify = PatchHeatMaps(network, precision, batch=8 if self.device.type == "cpu" else 256)

    def __call__(self, breast: torch.Tensor) -> torch.Tensor:
        """Probabilities `(2, H, W)`, benign and malignant, of a breast `(H, W)` in stored grey values (0 is air).

        Ours: a breast smaller than a patch, which only coarse images have, gets air below and beyond the nipple.
        """
        key = key_of(breast.numpy().astype(np.uint16), *self.about)
        found = self.store.get(key)
        if found is None or found.get("maps", np.empty(0)).shape != (2, *breast.shape):
            found = {"maps": self._compute(breast)}
            self.store.put(key, **found)
        return torch.from_numpy(found["maps"].astype(np.float32) / _FULL)

    def _compute(self, breast: torch.Tensor) -> np.ndarray:
        height, width = breast.shape
        wide = cut(breast, Box(0, max(height, PATCH), 0, max(width, PATCH)))
        maps = self.classify(standardise(wide).to(self.device))[:, :height, :width]
        return np.rint(maps.cpu().numpy() * _FULL).clip(0, _FULL).astype(np.uint16)
