"""One answer of several: networks (the last epochs' weights), mirrored copies and overlapping patches of an image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from monai.data.utils import dense_patch_slices
from torch import nn

from pipeline.networks.detection.boxes import flip, intersection, volume
from pipeline.networks.detection.clustering import cluster
from pipeline.networks.detection.detector import CLASSES, Detections

SPREAD = 0.8  # of half a patch: where the nearness to its middle has fallen to 0.61, as the toolkit has it


@dataclass
class _Found:
    """Boxes of one breast, and what their merging asks for."""

    boxes: list[torch.Tensor] = field(default_factory=list)
    labels: list[torch.Tensor] = field(default_factory=list)
    scores: list[torch.Tensor] = field(default_factory=list)
    nearness: list[torch.Tensor] = field(default_factory=list)
    sources: list[torch.Tensor] = field(default_factory=list)


@torch.no_grad()
def detect(networks: nn.Module | Sequence[nn.Module], image: torch.Tensor, patch_size: Sequence[int] | None = None,
           flip_axes: Sequence[int] = (), overlap: float = 0.5, threshold: float = 1e-5) -> list[Detections]:
    """Boxes of every breast, merged by weighted box clustering.

    One network that sees the whole image once answers by itself: nothing is merged.

    Args:
        networks: one detector or several.
        image: `(B, C, X, Y, Z)`.
        patch_size: voxels `(X, Y, Z)` that a network sees at a time; None for all.
        flip_axes: of 0, 1, 2; every combination of mirrored copies is looked at too.
        overlap: of neighbouring patches, a part of their side.
        threshold: IoU above which two boxes are of the same lesion.

    Returns:
        as a detector does: `boxes`, `labels` and `scores` of every breast, best first.
    """
    several = [networks] if isinstance(networks, nn.Module) else list(networks)
    size = image.shape[2:]
    patch = [min(n, m) for n, m in zip(size, patch_size or size, strict=True)]
    patches = dense_patch_slices(size, patch, [max(1, int(n * (1 - overlap))) for n in patch])
    copies = [axes for count in range(len(flip_axes) + 1) for axes in itertools.combinations(flip_axes, count)]
    if len(several) == len(patches) == len(copies) == 1:
        return several[0](image)
    found = [_Found() for _ in image]
    for source, (network, axes, place) in enumerate(itertools.product(several, copies, patches)):
        seen = image[(slice(None), slice(None), *place)].flip([axis + 2 for axis in axes])
        offset = image.new_tensor([part.start for part in place] * 2, dtype=torch.float32)
        for own, answer in zip(found, network(seen), strict=True):
            boxes = flip(answer["boxes"], patch, axes)
            own.nearness.append(_nearness(boxes, patch))
            own.boxes.append(boxes + offset)
            own.labels.append(answer["labels"])
            own.scores.append(answer["scores"])
            own.sources.append(torch.full_like(answer["labels"], source))
    corners = image.new_tensor([[*(part.start for part in place), *(part.stop for part in place)] for place in patches],
                               dtype=torch.float32)
    return [_merged(own, corners, len(several) * len(copies), threshold) for own in found]


def _nearness(boxes: torch.Tensor, patch: Sequence[int]) -> torch.Tensor:
    """Of each box's middle to that of its patch: a bell on each axis, their mean."""
    half = boxes.new_tensor(patch) / 2
    away = ((boxes[:, :3] + boxes[:, 3:]) / 2 - half) / (SPREAD * half)
    return torch.exp(-(away**2) / 2).mean(dim=1)


def _merged(found: _Found, patches: torch.Tensor, looks: int, threshold: float) -> Detections:
    """Clusters of all boxes of a breast, class by class, where each patch was looked at so many times."""
    boxes, labels, scores, nearness, sources = (torch.cat(parts) for parts in vars(found).values())
    # Over the volume of a box, the mean number of patches there: the sum of the parts of it that each patch holds.
    expected = looks * intersection(boxes, patches).sum(dim=1) / volume(boxes)
    merged = []
    for label in range(1, CLASSES):
        own = labels == label
        parts = cluster(boxes[own], scores[own], nearness[own], sources[own], expected[own], threshold)
        merged.append((*parts, torch.full((len(parts[1]),), label, device=labels.device)))
    boxes, scores, labels = (torch.cat(parts) for parts in zip(*merged, strict=True))
    order = torch.argsort(scores, descending=True, stable=True)
    return {"boxes": boxes[order], "labels": labels[order], "scores": scores[order]}
