"""Labels and scores that metrics are tried on."""

from __future__ import annotations

import numpy as np


def sample(n: int, decimals: int = 1, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels with 30 % malignant, and normal scores rounded so coarsely that many are equal."""
    random = np.random.default_rng(seed)
    label = (random.random(n) < 0.3).astype(int)
    return label, np.round(random.normal(shift * label), decimals)
