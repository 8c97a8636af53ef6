"""Grad-CAM: the last layer's activations, weighed by their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from monai.visualize import GradCAM

from pipeline.explain.enlarge import enlarged


class GradCamInferer(Inferer):
    """Logits `(N, 2)` and Grad-CAMs for malignancy `(N, Y, X)` of patches, by `monai.visualize.GradCAM`.

    Each map is 0–1 times the patch's probability of malignancy.

    Args:
        layer: the layer whose activations are weighed.
    """

    def __init__(self, layer: str = "layer4") -> None:
        self.layer = layer

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        network.eval()
        with torch.no_grad():
            logits = network(inputs).float()
        with torch.enable_grad():
            cam = GradCAM(nn_module=network, target_layers=self.layer)
            maps = torch.cat([torch.as_tensor(cam(patch[None], class_idx=1)) for patch in inputs])[:, 0]
        network.zero_grad(set_to_none=True)
        return {"logits": logits, "heatmap": maps.detach() * logits.softmax(1)[:, 1, None, None]}


def slab_map(network: Any, volume: torch.Tensor, z: int, slices: int = 9) -> np.ndarray:
    """Grad-CAM of the slab of slices around one, whole plane, as the paper's Fig. 3: `(Y, X)` in 0–1.

    Channels are weighed by their mean gradient (Selvaraju 2017), which for this network is the weight of its last
    layer over the number of cells; negative values are cut off, and the map is divided by its maximum. The last map has
    one cell along the sweep: within the slab there is no depth.

    Args:
        network: a `CenterPointResNet`.
        volume: `(1, Z, Y, X)`.
        z: the middle slice.
        slices: of the slab; paper: 9.
    """
    first = int(np.clip(z - slices // 2, 0, max(volume.shape[1] - slices, 0)))
    with torch.no_grad():
        evidence = network.evidence(volume[None, :, first : first + slices].float()) - network.fc.bias
        cam = evidence.mean(dim=2, keepdim=True).clamp(min=0)[:, :, 0]
        cam = cam / cam.max().clamp(min=1e-6)
        cam = enlarged(cam, volume.shape[2:], network.strides[1:])
    return cam[0, 0].cpu().numpy()
