"""Input-gradient saliency of mammograms, and the region of interest that it leads to (paper §3.2, §4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.networks.mammogram_resnet import risk_score

SHARE = 0.01  # §4.2: the 1 % of pixels with the highest gradient impact
REGION = 976  # §4.2: pixels a side, at native resolution


def saliency(network: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How much each pixel moves the risk score: `|∂(positive − negative logit)/∂pixel|`.

    One pass forward and one back, to the input alone: weights get no gradients. The network runs in evaluation mode,
    in which the images of a batch do not touch each other.

    Args:
        network: `(B, C, H, W)` to logits `(B, 2)`; as it was, afterwards.
        images: `(B, C, H, W)`.

    Returns:
        risk scores `(B,)` and maps `(B, H, W)`, not negative; the largest over the channels, where there are several.
    """
    with frozen(network), torch.enable_grad():
        images = images.detach().requires_grad_(True)
        scores = risk_score(network(images).float())
        (slope,) = torch.autograd.grad(scores.sum(), images)
    return scores.detach(), slope.float().abs().amax(dim=1)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients of weights, for a while."""
    asked = [p for p in network.parameters() if p.requires_grad]
    training = [module for module in network.modules() if module.training]
    network.requires_grad_(False).eval()
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def most_salient(maps: torch.Tensor, share: float = SHARE) -> torch.Tensor:
    """The share of pixels with the largest gradient, as weights.

    Ours: pixels that tie for the last places share them, so that no order of memory decides; pixels without any
    gradient have no impact and are left out, save where the whole map is zero.

    Args:
        maps: `(B, H, W)` of `saliency`.
        share: of all pixels, at least one pixel.

    Returns:
        weights `(B, H, W)` in 0–1: 1 for pixels that belong, 0 for those that do not.

    Raises:
        InputError: a map that is not finite.
    """
    flat = maps.flatten(1)
    if not torch.isfinite(flat).all():
        raise InputError("the saliency map is not finite; check the network's weights, or use --precision fp32")
    count = max(round(share * flat.shape[1]), 1)
    last = flat.topk(count, dim=1).values[:, -1:]
    above, tied = flat > last, flat == last
    places = (count - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
    places = torch.where((last == 0) & above.any(dim=1, keepdim=True), 0.0, places)
    return (above + tied * places).reshape(maps.shape)


def centre_of_attention(maps: torch.Tensor, share: float = SHARE) -> torch.Tensor:
    """Centroid of the most salient pixels, `(B, H, W)` to `(B, 2)`: row and column, 0 in the middle of pixel 0."""
    weights = most_salient(maps, share).double()
    centres = []
    for axis, other in ((1, 2), (2, 1)):
        along = weights.sum(dim=other)
        at = torch.arange(maps.shape[axis], device=maps.device, dtype=along.dtype)
        centres.append(along @ at / along.sum(dim=1))
    return torch.stack(centres, dim=1)


class SaliencyInferer:
    """For MONAI's evaluators: images `(…, B, 1, H, W)` to risk `scores` `(…, B)` and saliency `maps` `(…, B, H, W)`."""

    def __call__(self, inputs: torch.Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        inputs = inputs.as_tensor() if hasattr(inputs, "as_tensor") else inputs
        lead = inputs.shape[:-3]
        scores, maps = saliency(network, inputs.flatten(0, -4))
        return {"scores": scores.reshape(lead), "maps": maps.reshape(*lead, *maps.shape[1:])}
