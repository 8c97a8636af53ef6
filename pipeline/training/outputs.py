"""What bundles read off an engine's output, and how a network is placed on its device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.handlers import ROCAUC
from monai.metrics import compute_roc_auc
from torch import nn

from pipeline.training.distributed import gather


def logits_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `(B, 2)` and labels `(B,)`, for a metric of the loss."""
    return output["pred"].float(), output["label"]


def scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability of malignancy `(B,)` and labels `(B,)`, for ROC AUC."""
    return output["pred"].float().softmax(dim=1)[:, 1], output["label"]


def own_loss(output: dict[str, torch.Tensor], label: torch.Tensor | None = None) -> torch.Tensor:
    """The loss of a network that computes its own from the targets it is given; the label is not looked at."""
    return output["loss"]


class PooledROCAUC(ROCAUC):
    """ROC AUC of a network with several answers of two logits each: some answers of every case, pooled.

    Takes logits `(B, 2 K)` and labels `(B, K)` of 0, 1 or -1, which is unknown and left out: a batch of which nothing
    is known adds nothing, and the area of nothing is NaN.

    Args:
        answers: numbers of the answers, such as malignancy of the left and of the right breast.
    """

    def __init__(self, answers: Sequence[int]) -> None:
        super().__init__(output_transform=self._known)
        self.answers = list(answers)

    def _known(self, output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        scores = output["pred"].float().unflatten(1, (-1, 2)).softmax(dim=2)[:, self.answers, 1]
        labels = output["label"][:, self.answers]
        return scores[labels >= 0], labels[labels >= 0]

    def reset(self) -> None:
        super().reset()
        self.known: list[tuple[torch.Tensor, torch.Tensor]] = []

    def update(self, output: Sequence[torch.Tensor]) -> None:
        scores, labels = output
        self.known.append((scores.detach().cpu(), labels.cpu()))

    def compute(self) -> Any:
        """Of all processes' answers; MONAI's buffers wait forever for a process that has none."""
        known = [batch for each in gather(self.known) for batch in each]
        scores, labels = (torch.cat([batch[i] for batch in known]) if known else torch.empty(0) for i in (0, 1))
        return compute_roc_auc(scores, labels) if len(labels) else math.nan


class BinaryCrossEntropy(nn.Module):
    """Binary cross-entropy of one logit a case: `(B, 1)` and labels `(B,)`."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype))


def sigmoids_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability `(B,)` of a network with one logit, and labels `(B,)`, for ROC AUC."""
    return output["pred"].float().sigmoid()[:, 0], output["label"]


def answers_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers at the threshold 0.5 `(B,)` of a network with one logit, and labels `(B,)`, for accuracy."""
    return (output["pred"][:, 0] >= 0).long(), output["label"]


def lower_is_better(current: float, best: float) -> bool:
    """Whether a key metric that is a loss has improved."""
    return current < best
