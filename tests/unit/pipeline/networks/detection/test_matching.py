"""Which anchors stand for which lesion, by hand, and what is sampled of them."""

from __future__ import annotations

import torch

from pipeline.networks.detection.matching import BACKGROUND, NEUTRAL, match, sample

LESIONS = torch.tensor([[0.0, 0, 0, 8, 8, 2], [100, 100, 0, 102, 102, 1]])
ANCHORS = torch.tensor([
    [0.0, 0, 0, 8, 8, 2],  # the first lesion itself
    [2, 0, 0, 10, 8, 2],  # IoU 6/10 with it
    [4, 0, 0, 12, 8, 2],  # 1/3
    [96, 96, 0, 104, 104, 2],  # holds the second, IoU 4/128
    [101, 101, 0, 109, 109, 2],  # 1/131, below 0.01
    [50, 50, 0, 58, 58, 2],  # of nothing
])


def test_thresholds_and_the_best_anchor_of_every_lesion() -> None:
    assert match(ANCHORS, LESIONS, 0.5).tolist() == [0, 0, NEUTRAL, 1, BACKGROUND, BACKGROUND]
    assert match(ANCHORS, LESIONS, 0.7).tolist() == [0, NEUTRAL, NEUTRAL, 1, BACKGROUND, BACKGROUND]
    assert match(ANCHORS, LESIONS, 0.3, best=False).tolist() == [0, 0, 0, NEUTRAL, BACKGROUND, BACKGROUND]


def test_each_of_overlapping_lesions_has_its_nearest() -> None:
    lesions = torch.tensor([[0.0, 0, 0, 8, 8, 2], [1, 0, 0, 9, 8, 2]])
    assert match(ANCHORS[:2], lesions, 0.5).tolist() == [0, 1]


def test_without_lesions_all_is_background() -> None:
    assert (match(ANCHORS, LESIONS[:0], 0.5) == BACKGROUND).all()


def test_a_lesion_that_no_anchor_touches_takes_none() -> None:
    assert match(ANCHORS[5:], LESIONS[:1], 0.5).tolist() == [BACKGROUND]


def test_three_lesions_at_most_and_as_many_hard_negatives() -> None:
    torch.manual_seed(0)
    lesion = torch.full((1000,), BACKGROUND)
    lesion[:10], lesion[10:20] = 4, NEUTRAL
    foreground = torch.rand(1000)
    hardest = set((20 + foreground[20:].topk(30).indices).tolist())  # ten times three
    seen: set[int] = set()
    for _ in range(40):
        positive, negative = sample(lesion, foreground)
        assert len(positive) == len(negative) == 3 and set(positive.tolist()) <= set(range(10))
        seen |= set(negative.tolist())
    assert seen <= hardest and len(seen) > 20


def test_one_of_the_background_where_there_are_no_lesions() -> None:
    torch.manual_seed(0)
    positive, negative = sample(torch.full((50,), BACKGROUND), torch.arange(50.0))
    assert len(positive) == 0 and len(negative) == 1 and int(negative) >= 40
