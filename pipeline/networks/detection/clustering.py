"""Weighted box clustering: one box of those that patches, mirrored copies and networks find of the same lesion."""

from __future__ import annotations

import torch

from pipeline.networks.detection.boxes import iou, volume


def cluster(boxes: torch.Tensor, scores: torch.Tensor, nearness: torch.Tensor, sources: torch.Tensor,
            expected: torch.Tensor, threshold: float = 1e-5) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge boxes of one class in one image (Jaeger et al. 2018, §2.3).

    The best box and all that overlap it are a cluster, then the best of the rest. A box weighs its overlap with the
    best one, times its volume, times its nearness to the middle of the patch it was found in. A cluster's score is the
    weighted mean of its boxes' scores, in which a source that looked there and found nothing counts as a box of score
    0 with the mean weight; its corners are the means weighted by score and weight.

    Args:
        boxes, scores: `(N, 6)`, `(N,)`.
        nearness: of a box to the middle of its patch, `(N,)`.
        sources: what found it, a number for each patch of each copy for each network, `(N,)`.
        expected: how many sources look at where it lies, on average over its volume, `(N,)`.
        threshold: IoU above which a box belongs to the cluster.

    Returns:
        boxes `(M, 6)` and scores `(M,)`, best first.
    """
    found = []
    order = torch.argsort(scores, descending=True, stable=True)
    while len(order):
        overlaps = iou(boxes[order], boxes[order[:1]])[:, 0]
        overlaps[0] = 1.0  # of a box with itself, whatever its volume
        near = overlaps > threshold
        own = order[near]
        weights = overlaps[near] * volume(boxes[own]) * nearness[own]
        missing = max(0.0, float(expected[own].mean()) - len(sources[own].unique()))
        weighted = weights * scores[own]
        found.append((boxes[own] * weighted[:, None]).sum(dim=0) / weighted.sum())
        found.append(weighted.sum() / (weights.sum() + missing * weights.mean()))
        order = order[~near]
    if not found:
        return boxes, scores
    merged, means = torch.stack(found[::2]), torch.stack(found[1::2])
    best = torch.argsort(means, descending=True, stable=True)
    return merged[best], means[best]
