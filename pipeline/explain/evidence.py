"""Heat maps: where in the breast the evidence for malignancy lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.inferers import Inferer
from monai.networks.layers import gaussian_1d, separable_filtering
from torch import nn

from pipeline.errors import InputError
from pipeline.explain.enlarge import enlarged
from transforms.intensity import air_threshold


def evidence_map(network: Any, image: torch.Tensor, spread: float = 6.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the evidence for malignant against benign in every voxel: input times gradient, smoothed.

    Each voxel's share of the difference of the logits to first order, `Σ_c x_c · ∂(malignant − benign)/∂x_c`. A
    class activation map is as coarse as the network's last layer, a cell of which is larger than most lesions; this
    map is as fine as the image, and one pass back makes it.

    Args:
        network: `(B, C, X, Y, Z)` to logits `(B, 2)`, differentiable.
        image: `(B, C, X, Y, Z)`.
        spread: standard deviation of the Gaussian that smooths the map in plane, in voxels.

    Returns:
        logits `(B, 2)` and the map `(B, 1, X, Y, Z)`.
    """
    with torch.enable_grad():
        image = image.detach().requires_grad_(True)
        logits = network(image).float()
        (slope,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), image)
    share = (image.detach() * slope).sum(dim=1, keepdim=True).float()
    return logits.detach(), _smooth(share, spread)


def activation_map(network: Any, image: torch.Tensor,
                   strides: Sequence[int] = (32, 32, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the exact class activation map for malignant against benign (multi-scale curriculum, Fig. 3).

    Args:
        network: has `activation_map(image) -> logits, maps`.
        image: `(B, C, X, Y, Z)`.
        strides: voxels a cell of the maps along `(x, y, z)`.

    Returns:
        logits `(B, 2)` and the map `(B, 1, X, Y, Z)`: malignant minus benign evidence. On C5's own grid its mean is
        exactly the difference of the logits; enlarged, the border weighs differently.
    """
    logits, maps = network.activation_map(image)
    return logits.float(), enlarged((maps[:, 1:] - maps[:, :1]).float(), image.shape[2:], strides)


def _smooth(maps: torch.Tensor, spread: float) -> torch.Tensor:
    """A Gaussian in plane over `(B, 1, X, Y, Z)`, cut off at three standard deviations, its weights summing to 1."""
    weight = gaussian_1d(torch.tensor(spread), truncated=3.0, approx="sampled", normalize=True).to(maps.device)
    slices = maps[:, 0].movedim(-1, 1)  # (B, Z, X, Y): in two dimensions convolutions are ten times as fast
    return separable_filtering(slices, [weight, weight]).movedim(1, -1)[:, None]


def heat(logits: torch.Tensor, evidence: torch.Tensor) -> torch.Tensor:
    """A map in 0–1 whose peak is the breast's probability of malignancy.

    `p · max(e, 0) / max(e)`, with `e` the evidence `(B, 1, X, Y, Z)` and `p` the softmax of `logits` `(B, 2)`.
    """
    positive = evidence.clamp(min=0)
    peak = positive.amax(dim=(1, 2, 3, 4), keepdim=True).clamp(min=1e-6)
    return logits.softmax(dim=1)[:, 1].reshape(-1, 1, 1, 1, 1) * positive / peak


def body_mask(image: torch.Tensor, channel: int = 0) -> torch.Tensor:
    """Where there is tissue: `(B, C, X, Y, Z)` to 0 or 1 `(B, 1, X, Y, Z)`, from one channel, smoothed in plane."""
    plane = F.avg_pool3d(image[:, channel : channel + 1].float(), (5, 5, 1), stride=1, padding=(2, 2, 0))
    cuts = [air_threshold(single.cpu().numpy()) for single in plane]
    return (plane > torch.tensor(cuts, device=image.device).reshape(-1, 1, 1, 1, 1)).float()


class HeatMapInferer(Inferer):
    """Logits and heat maps of whole breasts.

    Takes `(B, C, X, Y, Z)`, or exams of several breasts `(B, S, C, X, Y, Z)`. Returns a dictionary of plain tensors
    (MONAI Label merges it into its data): `logits` `(B[, S], 2)` and `heatmap` `(B[, S], X, Y, Z)`. Called with
    `mapped` (see `pipeline.explain.wanted`), breasts of which no map is asked for stay cold, and where none is there is
    no `heatmap`.

    Args:
        kind: `evidence` (`evidence_map`), `activation` (`activation_map`, the paper's) or `without`: logits alone.
        spread: see `evidence_map`.
        body_channel: a channel that shows the body's outline: air is no place for evidence and stays cold. None
            leaves the map as it is.

    Raises:
        InputError: no such kind of map.
    """

    def __init__(self, kind: str = "evidence", spread: float = 6.0, body_channel: int | None = 0) -> None:
        if kind not in ("evidence", "activation", "without"):
            raise InputError(f"no heat map {kind!r}; choose evidence, activation or without")
        self.kind = kind
        self.spread = float(spread)
        self.body_channel = body_channel

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, mapped: Sequence[bool] | None = None,
                 **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        lead, single = inputs.shape[:-4], inputs.flatten(0, -5)
        mapped = [True] * len(single) if mapped is None else mapped
        network.eval()
        with torch.no_grad():
            if self.kind == "without":
                return {"logits": network(single).float().reshape(*lead, -1)}
            parts = [self._one(breast[None], network) if wanted else (network(breast[None]).float(), None)
                     for breast, wanted in zip(single, mapped, strict=True)]
        found = {"logits": torch.cat([logits for logits, _ in parts]).reshape(*lead, -1)}
        if any(mapped):
            cold = single.new_zeros(1, *single.shape[2:], dtype=torch.float32)
            maps = torch.cat([cold if part is None else part for _, part in parts])
            found["heatmap"] = maps.reshape(*lead, *maps.shape[1:])
        return found

    def _one(self, image: torch.Tensor, network: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits `(1, 2)` and heat `(1, X, Y, Z)` of one breast."""
        if self.kind == "evidence":
            logits, evidence = evidence_map(network, image, self.spread)
        else:
            logits, evidence = activation_map(network, image)
        if self.body_channel is not None:
            evidence = evidence.clamp(min=0) * body_mask(image, self.body_channel)
        return logits, heat(logits, evidence)[:, 0]
