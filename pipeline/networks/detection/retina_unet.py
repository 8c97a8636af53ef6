"""Retina U-Net: a detector of one stage with a segmentation beside it (§3.2, Table 1; Jaeger et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.networks.checkpoint import strict
from pipeline.networks.curriculum_resnet import WIDTHS
from pipeline.networks.detection.anchors import LEVELS, RATIOS, RETINA_SCALES, anchors
from pipeline.networks.detection.boxes import select
from pipeline.networks.detection.detector import CLASSES, Detections, Detector, Size, Target
from pipeline.networks.detection.losses import box_loss, class_loss, outline_loss
from pipeline.networks.detection.matching import match, sample
from pipeline.networks.detection.pyramid import Pyramid, normed

POSITIVE_FROM = 0.5  # least IoU of an anchor with the lesion that it stands for
OVERLAP = 1e-5  # IoU above which the lesser of two boxes goes
CANDIDATES = 10_000  # boxes a class before suppression. Ours: the toolkit takes 50,000 of a batch of 8


@dataclass
class Seen:
    """What the network says: `(B, A, classes)`, `(B, A, 6)` of all A anchors, and `(B, 2, Z, Y, X)` or None."""

    logits: torch.Tensor
    deltas: torch.Tensor
    outlines: torch.Tensor | None


class Head(nn.Sequential):
    """Four convolutions with a norm, and one that answers for every anchor; the same for all levels."""

    def __init__(self, inputs: int, features: int, answers: int) -> None:
        layers = [layer for n in (inputs, features, features, features) for layer in normed(n, features)]
        last = nn.Conv3d(features, len(RATIOS) * len(RETINA_SCALES) * answers, 3, padding=1)
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        super().__init__(*layers, last)
        self.answers = answers

    def forward(self, pyramid: dict[str, torch.Tensor]) -> torch.Tensor:
        """`(B, A, answers)` in the order of `anchors`."""
        every = [super(Head, self).forward(pyramid[level]) for level in LEVELS]
        return torch.cat([x.permute(0, 2, 3, 4, 1).reshape(len(x), -1, self.answers) for x in every], dim=1).float()


class RetinaUNet(Detector):
    """Classes and boxes from every cell of P2 … P5, and lesions' outlines from P0, which only training asks for.

    How it is called: see `Detector`. With the default sizes it has 3,895,039 parameters; an image of 256×256×32 has
    1,347,840 anchors. Losses: `class`, `box` and `segmentation`.

    Args:
        in_channels: contrasts.
        widths: channels of C1 … C5.
        features: channels of the pyramid.
        head_features: channels of both heads.
        score_from, boxes_a_class: see `Detector`.
    """

    def __init__(self, in_channels: int = 6, widths: Sequence[int] = WIDTHS, features: int = 36,
                 head_features: int = 64, score_from: float = 0.1, boxes_a_class: int = 30) -> None:
        super().__init__(score_from, boxes_a_class)
        self.pyramid = Pyramid(in_channels, widths, features, full=True)
        self.classes = Head(features, head_features, CLASSES)
        self.boxes = Head(features, head_features, 6)
        self.segmentation = nn.Conv3d(features, 2, 1)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        strict(self)

    def look(self, image: torch.Tensor, outlines: bool) -> Seen:
        levels = self.pyramid(image, full=outlines)
        logits = self.segmentation(levels["P0"]).float() if outlines else None
        return Seen(self.classes(levels), self.boxes(levels), logits)

    def losses(self, seen: Seen, targets: Sequence[Target], size: Size) -> dict[str, torch.Tensor]:
        every = anchors(size, RETINA_SCALES).to(seen.logits.device)
        terms = [self._anchor_losses(logits, deltas, every, target)
                 for logits, deltas, target in zip(seen.logits, seen.deltas, targets, strict=True)]
        found = {name: torch.stack([term[i] for term in terms]).mean() for i, name in enumerate(("class", "box"))}
        if seen.outlines is not None:
            drawn = [i for i, target in enumerate(targets) if "mask" in target]
            masks = torch.stack([targets[i]["mask"][0] for i in drawn]).permute(0, 3, 2, 1)
            found["segmentation"] = outline_loss(seen.outlines[drawn], masks)
        return found

    @staticmethod
    def _anchor_losses(logits: torch.Tensor, deltas: torch.Tensor, every: torch.Tensor,
                       target: Target) -> tuple[torch.Tensor, torch.Tensor]:
        lesion = match(every, target["boxes"], POSITIVE_FROM)
        foreground = 1 - logits.detach().softmax(dim=1)[:, 0]
        positive, negative = sample(lesion, foreground)
        own = lesion[positive]
        labels = torch.cat([target["labels"][own], torch.zeros_like(negative)])
        return (class_loss(logits[torch.cat([positive, negative])], labels),
                box_loss(deltas[positive], every[positive], target["boxes"][own]))

    def detections(self, seen: Seen, size: Size) -> list[Detections]:
        every = anchors(size, RETINA_SCALES).to(seen.logits.device)
        return [select(probabilities, deltas, every, size, score_from=self.score_from, threshold=OVERLAP,
                       limit=self.boxes_a_class, candidates=CANDIDATES)
                for probabilities, deltas in zip(seen.logits.softmax(dim=2), seen.deltas, strict=True)]
