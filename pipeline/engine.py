"""What bundles read off an engine's output, and how a network is placed on its device."""

from __future__ import annotations

from typing import Any

import torch


def logits_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits `(B, 2)` and labels `(B,)`, for a metric of the loss."""
    return output["pred"].float(), output["label"]


def scores_and_labels(output: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Probability of malignancy `(B,)` and labels `(B,)`, for ROC AUC."""
    return output["pred"].float().softmax(dim=1)[:, 1], output["label"]


def lower_is_better(current: float, best: float) -> bool:
    """Whether a key metric that is a loss has improved."""
    return current < best
