"""What bundles read off an engine's output, and how a network is placed on its device."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def logits_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `(B, 2)` and labels `(B,)`, for a metric of the loss."""
    return output["pred"].float(), output["label"]


def scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability of malignancy `(B,)` and labels `(B,)`, for ROC AUC."""
    return output["pred"].float().softmax(dim=1)[:, 1], output["label"]


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
