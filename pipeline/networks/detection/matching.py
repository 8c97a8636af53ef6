"""Which lesion each anchor or proposal stands for, and which of them a step learns from."""

from __future__ import annotations

import torch
from monai.apps.detection.utils.hard_negative_sampler import HardNegativeSampler

from pipeline.networks.detection.boxes import iou

BACKGROUND, NEUTRAL = -1, -2
_SAMPLER = HardNegativeSampler(batch_size_per_image=6, positive_fraction=0.5, min_neg=1, pool_size=10)


def match(references: torch.Tensor, lesions: torch.Tensor, positive_from: float, background_below: float = 0.01,
          best: bool = True) -> torch.Tensor:
    """The lesion of each reference box.

    Args:
        references: anchors or proposals `(N, 6)`.
        lesions: `(M, 6)`, M may be 0.
        positive_from: least IoU with a lesion of a reference that stands for it.
        background_below: IoU with every lesion below which a reference is background; between the two it is neither.
        best: for every lesion also the reference that overlaps it most, however little.

    Returns:
        `(N,)` index of the lesion, `BACKGROUND` or `NEUTRAL`.
    """
    if not len(lesions):
        return torch.full((len(references),), BACKGROUND, device=references.device)
    overlaps = iou(references, lesions)
    most, lesion = overlaps.max(dim=1)
    lesion[most < positive_from] = NEUTRAL
    lesion[most < background_below] = BACKGROUND
    if best:
        overlap, reference = overlaps.max(dim=0)
        for number in torch.argsort(overlap).tolist():  # of lesions that share one, that which overlaps it most has it
            if overlap[number] > 0:
                lesion[reference[number]] = number
    return lesion


def sample(lesion: torch.Tensor, foreground: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """References of one image that a step learns from: at most 3 of lesions, and as many of the background.

    At least one is of the background, drawn from ten times as many of those that look most like a lesion.

    Args:
        lesion: of `match`, `(N,)`.
        foreground: probability of being a lesion of any class, `(N,)`.

    Returns:
        indices of references of lesions and of the background.
    """
    positive, negative = _SAMPLER([lesion + 1], foreground.detach())  # it takes 0 as background, lesions from 1
    return positive[0].nonzero()[:, 0], negative[0].nonzero()[:, 0]
