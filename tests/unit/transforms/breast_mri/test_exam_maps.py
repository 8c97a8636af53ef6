"""Maps of breasts return to their place in the exam."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms.breast_mri.exam_maps import maps_to_exam
from transforms.grid import Grid


def tilted(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


EXAM = np.array([[-2.0, 0, 0, 127], [0, -2.0, 0, 90], [0, 0, 4.0, -38], [0, 0, 0, 1]])  # i to left, j to posterior


@pytest.mark.parametrize("exam_affine", [EXAM, tilted(9) @ EXAM], ids=["parallel", "oblique"])
@pytest.mark.parametrize("side", ["L", "R"])
def test_maps_return_to_their_place_in_the_exam(exam_affine, side) -> None:
    exam = Grid((128, 96, 20), exam_affine)
    whole = Grid((128, 96, 20), EXAM).canonical()
    right = whole.cropped((64, 20, 0), (64, 64, 20))
    left = whole.cropped((0, 20, 0), (64, 64, 20)).flipped(0)
    maps = torch.zeros(2, 64, 64, 20)
    place = (20, 40, 12)  # 20 voxels from the midline outwards
    maps[:, place[0] - 2 : place[0] + 3, place[1] - 2 : place[1] + 3, place[2]] = 0.2
    hot = "LR".index(side)
    maps[(hot, *place)] = 0.9
    found = maps_to_exam(maps, [left.affine, right.affine], exam)
    assert found.shape == (128, 96, 20)
    peak = exam.to_world(np.array(np.unravel_index(int(found.argmax()), found.shape)))
    wanted = (left, right)[hot].to_world(np.array(place))
    # Whole grid: x from −127 to 127 mm; the midline lies between columns 63 and 64.
    np.testing.assert_allclose(wanted, [(41 if side == "R" else -41), 20, 10])
    assert np.abs(exam.to_index(peak) - exam.to_index(wanted)).max() <= 1
    assert 0.3 < found.max() <= 0.9
    if exam_affine is EXAM:
        assert found.max() == pytest.approx(0.9)
        assert found[exam_index(exam, [-wanted[0], *wanted[1:]])] == pytest.approx(0.2)


def exam_index(exam: Grid, world: list[float]) -> tuple[int, ...]:
    return tuple(np.rint(exam.to_index(np.array(world))).astype(int))
