"""Weighted box clustering, worked by hand."""

from __future__ import annotations

import pytest
import torch

from pipeline.networks.detection.clustering import cluster

A, B, FAR = [0.0, 0, 0, 10, 10, 2], [5.0, 0, 0, 15, 10, 2], [100.0, 0, 0, 110, 10, 2]


def merged(boxes: list[list[float]], scores: list[float], expected: float, sources: list[int] | None = None,
           nearness: list[float] | None = None) -> tuple[list[list[float]], list[float]]:
    count = len(boxes)
    found = cluster(torch.tensor(boxes).reshape(-1, 6), torch.tensor(scores), torch.tensor(nearness or [1.0] * count),
                    torch.tensor(sources or list(range(count))), torch.full((count,), expected))
    return found[0].tolist(), found[1].tolist()


def test_two_sources_that_agree() -> None:
    boxes, scores = merged([A, A], [0.8, 0.4], 2.0)
    assert boxes == [pytest.approx(A)] and scores == pytest.approx([0.6])


def test_overlap_volume_and_nearness_weigh() -> None:
    """A is the best, 200 voxels; B overlaps it by 100 of 300, 200 voxels, and lies half as near."""
    boxes, scores = merged([B, A], [0.3, 0.9], 2.0, nearness=[0.5, 1.0])
    weights = (200.0, 200 / 3 * 0.5)
    assert scores == pytest.approx([(0.9 * weights[0] + 0.3 * weights[1]) / sum(weights)])
    shift = 5 * 0.3 * weights[1] / (0.9 * weights[0] + 0.3 * weights[1])  # from A towards B
    assert boxes == [pytest.approx([shift, 0, 0, 10 + shift, 10, 2])]


def test_who_looked_and_found_nothing_counts_as_0() -> None:
    """Of four that look there, two find it: two boxes of the mean weight and score 0 are added."""
    assert merged([A, A], [0.8, 0.4], 4.0)[1] == pytest.approx([0.3])
    same = merged([A, A], [0.8, 0.4], 4.0, sources=[7, 7])[1]  # two boxes, one source: three are missing
    assert same == pytest.approx([(0.8 + 0.4) / 5])


def test_more_boxes_than_expected_are_not_rewarded() -> None:
    assert merged([A, A, A], [0.6, 0.6, 0.6], 1.0)[1] == pytest.approx([0.6])


def test_boxes_apart_stay_apart_best_first() -> None:
    boxes, scores = merged([FAR, A, B], [0.5, 0.2, 0.2], 2.0)
    assert len(boxes) == 2 and boxes[0] == pytest.approx(FAR)
    assert scores == pytest.approx([0.25, 0.2])


def test_none_stay_none() -> None:
    boxes, scores = merged([], [], 2.0)
    assert boxes == [] and scores == []
