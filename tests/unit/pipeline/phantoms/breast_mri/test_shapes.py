"""Shapes of lesions have the volume of their diameter."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.phantoms.breast_mri.shapes import LesionShape, _even_directions
from pipeline.phantoms.breast_mri.specs import Lesion


def test_margins_have_the_volume_of_their_diameter():
    for seed, margin in enumerate(("smooth", "spiculated") * 3):
        shape = LesionShape(Lesion("L", (0, 0, 0), 14.0, 0, "plateau", margin), np.random.default_rng(seed))
        extent = shape._extent(_even_directions(20000))
        volume = 4 / 3 * math.pi * (extent**3).mean()
        assert volume == pytest.approx(1436.755, rel=0.03)  # mm³, a ball 14 mm across
        assert extent.max() <= 1.5 * 7 + 1e-3
        assert (extent.std() / extent.mean() > 0.15) == (margin == "spiculated")
