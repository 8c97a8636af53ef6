"""Anchors against a slow double loop over the cells and shapes of every level."""

from __future__ import annotations

import itertools

import pytest
import torch

from pipeline.networks.detection.anchors import RETINA_SCALES, anchors, shapes


def loops(size: tuple[int, int, int], scales: tuple[float, ...]) -> list[list[float]]:
    """Every anchor, one after the other."""
    found = []
    for level in range(4):
        plane, depth = 4 * 2**level, 2**level  # voxels a cell
        x, y, z = size
        for k, j, i in itertools.product(range(z // depth), range(y // plane), range(x // plane)):
            middle = (plane * i + 0.5, plane * j + 0.5, depth * k + 0.5)
            for ratio in (0.5, 1, 2):
                for scale in scales:
                    side = 8 * 2**level * scale
                    sides = (side / ratio**0.5, side * ratio**0.5, side / 4)
                    found.append([m - s / 2 for m, s in zip(middle, sides, strict=True)]
                                 + [m + s / 2 for m, s in zip(middle, sides, strict=True)])
    return found


@pytest.mark.parametrize("scales", [(1.0,), (1.0, 2 ** (1 / 3), 2 ** (2 / 3))])
def test_anchors_equal_a_slow_double_loop(scales) -> None:
    torch.testing.assert_close(anchors((64, 96, 16), scales), torch.tensor(loops((64, 96, 16), scales)))


def test_a_breast_has_as_many_as_the_paper_s_size_gives() -> None:
    every = anchors((256, 256, 32), RETINA_SCALES)
    assert every.shape == (1_347_840, 6) and anchors((256, 256, 32)).shape == (449_280, 6)
    x, y, z, middle = 37, 51, 29, [4 * 37 + 0.5, 4 * 51 + 0.5, 29.5]  # one cell of P2, and its nine anchors
    own = every.view(-1, 9, 6)[(z * 64 + y) * 64 + x]
    torch.testing.assert_close((own[:, :3] + own[:, 3:]) / 2, torch.tensor([middle]).expand(9, 3))


def test_shapes_are_not_rounded() -> None:
    expected = [(8 * 2**0.5, 8 / 2**0.5, 2), (8, 8, 2), (8 / 2**0.5, 8 * 2**0.5, 2)]
    torch.testing.assert_close(shapes("P2"), torch.tensor(expected))
    assert len({round(float(side), 2) for side in shapes("P2", RETINA_SCALES)[:, 2]}) == 3  # depths 2, 2.52, 3.17
