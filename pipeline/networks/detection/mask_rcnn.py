"""Mask R-CNN: regions are proposed, then classified, refined and outlined (§3.2, Table 1; He et al. 2017)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.networks.checkpoint import strict
from pipeline.networks.curriculum_resnet import WIDTHS
from pipeline.networks.detection.anchors import LEVELS, RATIOS, anchors
from pipeline.networks.detection.boxes import select
from pipeline.networks.detection.detector import CLASSES, Detections, Detector, Size, Target
from pipeline.networks.detection.losses import box_loss, class_loss, mask_loss
from pipeline.networks.detection.matching import match, sample
from pipeline.networks.detection.pyramid import Pyramid, normed
from pipeline.networks.detection.roi_align import pyramid_roi_align, roi_align

PROPOSED_FROM = 0.7  # least IoU of an anchor with the lesion that it stands for
POSITIVE_FROM = 0.3  # likewise of a proposal; the toolkit's for 3D
PROPOSAL_OVERLAP, OVERLAP = 0.7, 1e-5  # IoU above which the lesser of two proposals, and of two boxes, goes
CANDIDATES = 6_000  # anchors before suppression, by score
TRAINING_PROPOSALS, PROPOSALS = 75, 500  # a breast
POOL, MASK_POOL, MASK = (7, 7, 3), (14, 14, 5), (28, 28, 10)  # bins along x, y and z


class ProposalHead(nn.Module):
    """Lesion or not, and a box, for every anchor."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv3d(inputs, features, 3, padding=1), nn.LeakyReLU(0.01, inplace=True))
        self.classes = nn.Conv3d(features, 2 * len(RATIOS), 1)
        self.boxes = nn.Conv3d(features, 6 * len(RATIOS), 1)

    def forward(self, pyramid: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """`(B, A, 2)` and `(B, A, 6)` in the order of `anchors`."""
        shared = [self.shared(pyramid[level]) for level in LEVELS]
        logits, deltas = (
            torch.cat([layer(x).permute(0, 2, 3, 4, 1).reshape(len(x), -1, n) for x in shared], dim=1).float()
            for layer, n in ((self.classes, 2), (self.boxes, 6)))
        return logits, deltas


class RegionHead(nn.Module):
    """Class, and a box for each class, of pooled regions `(N, C, 3, 7, 7)`."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        activation = nn.LeakyReLU(0.01, inplace=True)  # and no norm: there is one voxel only
        self.shared = nn.Sequential(nn.Conv3d(inputs, features, POOL[::-1]), activation,
                                    nn.Conv3d(features, features, 1), activation, nn.Flatten())
        self.classes = nn.Linear(features, CLASSES)
        self.boxes = nn.Linear(features, CLASSES * 6)

    def forward(self, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`(N, classes)` and `(N, classes, 6)`."""
        x = self.shared(regions)
        return self.classes(x), self.boxes(x).unflatten(1, (CLASSES, 6))


class MaskHead(nn.Sequential):
    """An outline for each class of pooled regions: `(N, C, 5, 14, 14)` to logits `(N, classes, 10, 28, 28)`."""

    def __init__(self, features: int) -> None:
        super().__init__(*[layer for _ in range(4) for layer in normed(features, features)],
                         nn.ConvTranspose3d(features, features, 2, 2), nn.LeakyReLU(0.01, inplace=True),
                         nn.Conv3d(features, CLASSES, 1))


@dataclass
class Seen:
    """The pyramid, and what is said of all A anchors: `(B, A, 2)`, `(B, A, 6)`."""

    pyramid: dict[str, torch.Tensor]
    logits: torch.Tensor
    deltas: torch.Tensor


@dataclass
class Sampled:
    """Proposals of a breast that a step learns from: those of lesions by `positive`, with what each stands for."""

    positive: torch.Tensor
    negative: torch.Tensor
    regions: torch.Tensor
    lesions: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor

    @classmethod
    def of(cls, proposals: torch.Tensor, probabilities: torch.Tensor, target: Target) -> Sampled:
        """Draw them from a breast's proposals `(N, 6)` with the head's probabilities `(N, classes)`."""
        lesion = match(proposals, target["boxes"], POSITIVE_FROM, best=False)
        positive, negative = sample(lesion, 1 - probabilities[:, 0])
        own = lesion[positive]
        return cls(positive, negative, proposals[positive], own, target["labels"][own], target["boxes"][own])


class MaskRCNN(Detector):
    """Proposes regions from P2 … P5 and looks at each again.

    How it is called: see `Detector`. With the default sizes it has 3,909,320 parameters. Losses: `proposal_class`,
    `proposal_box`, `class`, `box` and `mask`. Outlines serve training alone and are not computed for an answer. The
    lesions themselves are among the regions that training looks at.

    Args:
        in_channels: contrasts.
        widths: channels of C1 … C5.
        features: channels of the pyramid; a region's head has four times as many.
        head_features: channels of the proposals' head.
        score_from, boxes_a_class: see `Detector`.
    """

    def __init__(self, in_channels: int = 6, widths: Sequence[int] = WIDTHS, features: int = 36,
                 head_features: int = 128, score_from: float = 0.1, boxes_a_class: int = 30) -> None:
        super().__init__(score_from, boxes_a_class)
        self.pyramid = Pyramid(in_channels, widths, features, full=False)
        self.proposals = ProposalHead(features, head_features)
        self.regions = RegionHead(features, 4 * features)
        self.masks = MaskHead(features)
        for last in (self.proposals.classes, self.proposals.boxes, self.regions.classes, self.regions.boxes):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        strict(self)

    def look(self, image: torch.Tensor, outlines: bool) -> Seen:
        levels = self.pyramid(image)
        return Seen(levels, *self.proposals(levels))

    @torch.no_grad()
    def propose(self, seen: Seen, size: Size, limit: int) -> list[torch.Tensor]:
        """The regions of every breast that look most like a lesion, `(N, 6)`, N up to the limit."""
        every = anchors(size).to(seen.logits.device)
        return [select(probabilities, deltas, every, size, score_from=0.0, threshold=PROPOSAL_OVERLAP, limit=limit,
                       candidates=CANDIDATES)["boxes"]
                for probabilities, deltas in zip(seen.logits.softmax(dim=2), seen.deltas, strict=True)]

    def losses(self, seen: Seen, targets: Sequence[Target], size: Size) -> dict[str, torch.Tensor]:
        every = anchors(size).to(seen.logits.device)
        terms = [self._proposal_losses(logits, deltas, every, target)
                 for logits, deltas, target in zip(seen.logits, seen.deltas, targets, strict=True)]
        found = {name: torch.stack([term[i] for term in terms]).mean()
                 for i, name in enumerate(("proposal_class", "proposal_box"))}
        return {**found, **self._region_losses(seen, targets, size)}

    @staticmethod
    def _proposal_losses(logits: torch.Tensor, deltas: torch.Tensor, every: torch.Tensor,
                         target: Target) -> tuple[torch.Tensor, torch.Tensor]:
        lesion = match(every, target["boxes"], PROPOSED_FROM)
        positive, negative = sample(lesion, logits.softmax(dim=1)[:, 1])
        labels = torch.cat([torch.ones_like(positive), torch.zeros_like(negative)])
        return (class_loss(logits[torch.cat([positive, negative])], labels),
                box_loss(deltas[positive], every[positive], target["boxes"][lesion[positive]]))

    def _region_losses(self, seen: Seen, targets: Sequence[Target], size: Size) -> dict[str, torch.Tensor]:
        # Ours, as in the method's published code: lesions are among the regions. The toolkit adds none; for hundreds of
        # steps proposals meet no lesion then, and the regions' head learns from the background alone.
        proposals = [torch.cat([own, target["boxes"]]) for own, target
                     in zip(self.propose(seen, size, TRAINING_PROPOSALS), targets, strict=True)]
        logits, deltas = self.regions(pyramid_roi_align(seen.pyramid, proposals, POOL))
        chosen = [Sampled.of(own, probabilities, target) for own, probabilities, target
                  in zip(proposals, logits.softmax(dim=1).split([len(own) for own in proposals]), targets, strict=True)]
        starts = itertools.accumulate((len(own) for own in proposals[:-1]), initial=0)
        positive, negative = (torch.cat(places) for places in zip(
            *((start + own.positive, start + own.negative) for start, own in zip(starts, chosen, strict=True)),
            strict=True))
        labels = torch.cat([own.labels for own in chosen])
        found = {"class": class_loss(logits[torch.cat([positive, negative])],
                                     torch.cat([labels, torch.zeros_like(negative)])),
                 "box": box_loss(deltas[positive, labels], torch.cat(proposals)[positive],
                                 torch.cat([own.boxes for own in chosen]))}
        if any("mask" in target for target in targets):
            found["mask"] = self._mask_loss(seen, chosen, targets)
        return found

    def _mask_loss(self, seen: Seen, chosen: Sequence[Sampled], targets: Sequence[Target]) -> torch.Tensor:
        """Outlines of the sampled lesions of breasts that have outlines."""
        drawn = [slice(None) if "mask" in target else slice(0) for target in targets]
        labels = torch.cat([own.labels[part] for own, part in zip(chosen, drawn, strict=True)])
        if not len(labels):
            return seen.logits.sum() * 0
        regions = [own.regions[part] for own, part in zip(chosen, drawn, strict=True)]
        outlines = [roi_align((target["mask"] == number + 1).permute(0, 3, 2, 1), region[None], MASK)[0, 0].round()
                    for own, part, target in zip(chosen, drawn, targets, strict=True)
                    for number, region in zip(own.lesions[part], own.regions[part], strict=True)]
        logits = self.masks(pyramid_roi_align(seen.pyramid, regions, MASK_POOL))
        return mask_loss(logits[torch.arange(len(labels), device=labels.device), labels], torch.stack(outlines))

    def detections(self, seen: Seen, size: Size) -> list[Detections]:
        proposals = self.propose(seen, size, PROPOSALS)
        logits, deltas = self.regions(pyramid_roi_align(seen.pyramid, proposals, POOL))
        counts = [len(own) for own in proposals]
        return [select(probabilities, delta, own, size, score_from=self.score_from, threshold=OVERLAP,
                       limit=self.boxes_a_class, candidates=CANDIDATES)
                for own, probabilities, delta in zip(proposals, logits.softmax(dim=1).split(counts),
                                                     deltas.split(counts), strict=True)]
