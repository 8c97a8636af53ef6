"""Grad-CAM (Selvaraju et al., 2017): a layer's channels, weighed by what they do for an output."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.inferers import Inferer
from torch import nn

from pipeline.explain.enlarge import enlarged
from pipeline.explain.saliency import frozen


def grad_cam(network: nn.Module, images: torch.Tensor, output: int,
             layer: str = "layer4") -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and how much each cell of a layer speaks for one of them.

    Each channel's weight is the mean of the logit's gradient over the channel's cells; what speaks against the output
    is cut off. `monai.visualize.GradCAM` gives the same before its default postprocessing, which turns the map upside
    down, and goes back through the whole network; here the gradient ends at the layer.

    Args:
        network: `(B, C, *size)` to logits `(B, K)`; as it was, afterwards.
        images: `(B, C, *size)`.
        output: which logit.
        layer: name of the module, for example `layer4`.

    Returns:
        logits `(B, K)` and maps `(B, 1, *cells)`, not negative; 0 where nothing speaks for the output.
    """
    held: list[torch.Tensor] = []

    def hold(module: nn.Module, inputs: Any, result: torch.Tensor) -> torch.Tensor:
        held.append(result.detach().requires_grad_(True))
        return held[-1].clone()  # later layers may work in place

    with frozen(network), torch.enable_grad():
        handle = network.get_submodule(layer).register_forward_hook(hold)
        try:
            logits = network(images).float()
        finally:
            handle.remove()
        (slope,) = torch.autograd.grad(logits[:, output].sum(), held[0])
    cells = held[0].detach()
    weights = slope.mean(dim=tuple(range(2, slope.ndim)), keepdim=True)
    return logits.detach(), (weights * cells).sum(dim=1, keepdim=True).clamp(min=0).float()


def over_maximum(maps: torch.Tensor) -> torch.Tensor:
    """Maps `(B, …)`, not negative, each over its maximum: 1 is its hottest place, a map of zeros stays one."""
    peaks = maps.flatten(1).amax(dim=1).reshape(-1, *[1] * (maps.ndim - 1))
    return maps / torch.where(peaks > 0, peaks, 1.0)


class GradCamInferer(Inferer):
    """Logits `(…, N, 2)` and Grad-CAMs for malignancy `(…, N, Y, X)` of patches `(…, N, C, Y, X)`.

    Each map is over its maximum, times the patch's probability of malignancy: its hottest place has that probability.

    Args:
        layer: the layer whose channels are weighed.
        stride: pixels of the input between the layer's cells.
    """

    def __init__(self, layer: str = "layer4", stride: int = 32) -> None:
        self.layer = layer
        self.stride = int(stride)

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        lead, single = inputs.shape[:-3], inputs.flatten(0, -4)
        logits, cells = grad_cam(network, single, 1, self.layer)
        maps = over_maximum(enlarged(cells, single.shape[2:], (self.stride, self.stride))[:, 0])
        maps = maps * logits.softmax(1)[:, 1, None, None]
        return {"logits": logits.reshape(*lead, -1), "heatmap": maps.reshape(*lead, *maps.shape[1:])}


def slab_map(network: Any, volume: torch.Tensor, z: int, slices: int = 9) -> np.ndarray:
    """Grad-CAM of the slab of slices around one, whole plane, over its maximum, as the paper's Fig. 3: `(Y, X)` in 0–1.

    The last map has one cell along the sweep: within the slab there is no depth.

    Args:
        network: a `CenterPointResNet`.
        volume: `(1, Z, Y, X)`.
        z: the middle slice.
        slices: of the slab; paper: 9.
    """
    first = int(np.clip(z - slices // 2, 0, max(volume.shape[1] - slices, 0)))
    _, cells = grad_cam(network, volume[None, :, first : first + slices].float(), 0)
    plane = enlarged(cells.mean(dim=2), volume.shape[2:], network.strides[1:])
    return over_maximum(plane)[0, 0].cpu().numpy()
