"""What detectors are trained by: classes and boxes of sampled references, and the lesions' outlines."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pipeline.networks.detection.boxes import encode


def class_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy `(N, 1 + classes)`, `(N,)`: the mean of the lesions' mean and the background's, whose label is 0.

    Without lesions theirs is 0, so that the background's counts half as it does beside lesions.
    """
    every = F.cross_entropy(logits, labels, reduction="none")
    return (_mean(every[labels > 0]) + _mean(every[labels == 0])) / 2


def box_loss(deltas: torch.Tensor, references: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Smooth L1 of what was said at references against the lesions' boxes, all `(N, 6)`; 0 where N is 0."""
    if not len(boxes):
        return deltas.sum() * 0
    return F.smooth_l1_loss(deltas, encode(boxes, references))


def outline_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """(1 − dice + cross-entropy) / 2 of lesions against the background, §3.2's segmentation.

    The soft dice takes the voxels of all cases as one: a breast without lesions alone would make it a matter of chance.

    Args:
        logits: `(B, 2, …)`.
        masks: `(B, …)`, above 0 within lesions.
    """
    inside = (masks > 0).long()
    probability = logits.softmax(dim=1)[:, 1]
    shared = (probability * inside).sum()
    dice = (2 * shared + 1e-6) / (probability.sum() + inside.sum() + 1e-6)
    return (1 - dice + F.cross_entropy(logits, inside)) / 2


def mask_loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of regions' outlines, both `(N, …)` and masks 0 or 1; 0 where N is 0."""
    if not len(masks):
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits, masks)


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.sum() / max(len(values), 1)
