"""Air, tissue and its scale, on values whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from transforms.errors import InputError
from transforms.intensity import air_threshold, otsu, tissue_scale


def test_otsu_equals_every_cut_tried() -> None:
    random = np.random.default_rng(0)
    values = np.r_[random.normal(10, 2, 500), random.normal(40, 5, 300)]
    edges = np.linspace(values.min(), values.max(), 257)
    count, _ = np.histogram(values, edges)
    centers = (edges[:-1] + edges[1:]) / 2

    def between(cut: int) -> float:
        low, high = count[:cut], count[cut:]
        if not low.sum() or not high.sum():
            return 0.0
        return low.sum() * high.sum() * ((low * centers[:cut]).sum() / low.sum()
                                         - (high * centers[cut:]).sum() / high.sum()) ** 2

    best = max(range(1, 256), key=between)
    assert otsu(values) == pytest.approx(edges[best])
    assert otsu(np.full(5, 3.0)) == 3.0


def test_bright_fat_does_not_hide_the_rest() -> None:
    """Air 0 to 5, tissue around 100, fat around 1000: the cut lies between air and tissue."""
    random = np.random.default_rng(0)
    air, tissue, fat = random.uniform(0, 5, 5000), random.normal(100, 8, 3000), random.normal(1000, 50, 3000)
    cut = air_threshold(np.r_[air, tissue, fat])
    assert air.max() <= cut <= tissue.min()
    assert tissue_scale(np.r_[air, tissue, fat]) == pytest.approx(np.r_[tissue, fat].mean(), rel=1e-6)


@pytest.mark.parametrize(("values", "code"), [(np.zeros(10), "constant_image"), (np.full(10, 7.0), "constant_image"),
                                              (np.array([1.0, np.nan, 2.0]), "non_finite")])
def test_nothing_to_scale_by(values, code) -> None:
    with pytest.raises(InputError) as error:
        tissue_scale(values)
    assert error.value.code == code
