"""Small breasts with bright boxes in noise, and detectors of half the widths that learn one by heart."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.networks.detection.detector import Detector

HALF: dict[str, Any] = {"in_channels": 2, "widths": (9, 9, 18, 36, 72), "features": 18, "head_features": 32}
LESION = (22, 30, 6, 36, 42, 10)


def breast(*lesions: tuple[tuple[int, ...], int], size: tuple[int, int, int] = (64, 64, 16),
           seed: int = 0) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """An image `(2, X, Y, Z)` and its target; malignant lesions (2) are bright in both channels, benign ones in one."""
    random = torch.Generator().manual_seed(seed)
    image = 0.3 * torch.randn(2, *size, generator=random)
    mask = torch.zeros(1, *size, dtype=torch.uint8)
    for number, ((x0, y0, z0, x1, y1, z1), label) in enumerate(lesions, start=1):
        image[:label, x0:x1, y0:y1, z0:z1] += 2.0
        mask[0, x0:x1, y0:y1, z0:z1] = number
    boxes = torch.tensor([box for box, _ in lesions], dtype=torch.float32).reshape(-1, 6)
    labels = torch.tensor([label for _, label in lesions], dtype=torch.int64)
    return image, {"boxes": boxes, "labels": labels, "mask": mask}


def learn(network: Detector, images: torch.Tensor, targets: list[dict[str, torch.Tensor]], steps: int,
          rate: float) -> list[float]:
    """Train on the same breasts `(B, 2, X, Y, Z)` in every step, at a rate that falls to 0; returns the losses."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    losses = []
    network.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimizer.zero_grad()
        loss = network(images, targets)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def answers(network: Detector, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
    """What a network finds."""
    with torch.no_grad():
        return network.eval()(images)
