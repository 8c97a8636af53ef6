"""Box arithmetic against slow references, MONAI's own, and cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data.box_utils import box_iou, non_max_suppression

from pipeline.networks.detection.boxes import clip, decode, encode, flip, intersection, iou, nms, select, volume


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    """Boxes that overlap often."""
    random = torch.Generator().manual_seed(seed)
    middles = torch.rand(count, 3, generator=random) * torch.tensor([40.0, 40, 10])
    halves = 1 + torch.rand(count, 3, generator=random) * torch.tensor([6.0, 6, 2])
    return torch.cat([middles - halves, middles + halves], dim=1)


def brute_force(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    """Each box in order of its score, the first of equals first, stays if it overlaps no better one that stays."""
    lower, upper = boxes.double().split(3, dim=1)
    shared = (torch.minimum(upper[:, None], upper) - torch.maximum(lower[:, None], lower)).clamp(min=0).prod(dim=2)
    sizes = (upper - lower).prod(dim=1)
    overlaps, kept = shared / (sizes[:, None] + sizes - shared), []
    for i in sorted(range(len(boxes)), key=lambda i: (-float(scores[i]), i)):
        if not (overlaps[i, kept] > threshold).any():
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [1e-5, 0.7])
def test_suppression_of_1000_boxes_equals_brute_force(threshold) -> None:
    random = torch.Generator().manual_seed(1)
    boxes = drawn(100).repeat(10, 1) + 0.3 * torch.randn(1000, 6, generator=random)  # ten around each of a hundred
    scores = torch.rand(1000, generator=random).mul(50).round()  # some twenty of each score
    expected = brute_force(boxes, scores, threshold)
    kept = nms(boxes, scores, threshold, 1000)
    assert kept.tolist() == expected and 10 < len(expected) < 900
    assert kept.tolist() == non_max_suppression(boxes, scores, threshold).tolist()
    assert nms(boxes, scores, threshold, 7).tolist() == expected[:7]


def test_of_equal_boxes_with_equal_scores_the_first_stays() -> None:
    boxes = torch.tensor([[0.0, 0, 0, 4, 4, 1], [0, 0, 0, 4, 4, 1], [20, 0, 0, 24, 4, 1], [0, 0, 0, 4, 4, 1]])
    assert nms(boxes, torch.tensor([0.5, 0.5, 0.5, 0.5]), 1e-5, 9).tolist() == [0, 2]
    assert nms(boxes[:0], torch.zeros(0), 0.5, 9).tolist() == []


def test_overlaps_by_hand_and_as_monai_has_them() -> None:
    a = torch.tensor([[0.0, 0, 0, 4, 4, 2]])
    b = torch.tensor([[2.0, 0, 0, 6, 4, 2], [4, 0, 0, 8, 4, 2], [1, 1, 0, 2, 2, 1]])
    assert volume(b).tolist() == [32, 32, 1]
    assert intersection(a, b).tolist() == [[16, 0, 1]]
    torch.testing.assert_close(iou(a, b), torch.tensor([[16 / 48, 0, 1 / 32]]))
    boxes, others = drawn(200), drawn(7, seed=1)
    torch.testing.assert_close(iou(boxes, others), box_iou(boxes, others))
    assert iou(torch.zeros(1, 6), torch.zeros(1, 6)).tolist() == [[0]]


def test_deltas_by_hand_and_back() -> None:
    """A lesion one side further in x, twice as long in y, as the anchor in z."""
    anchor, lesion = torch.tensor([[0.0, 0, 0, 8, 8, 2]]), torch.tensor([[8.0, -4, 0, 16, 12, 2]])
    torch.testing.assert_close(encode(lesion, anchor), torch.tensor([[10.0, 0, 0, 0, 5 * math.log(2), 0]]))
    lesions, anchors = drawn(50), drawn(50, seed=1)
    torch.testing.assert_close(decode(encode(lesions, anchors), anchors), lesions, rtol=1e-4, atol=1e-4)
    lost = torch.full((1, 6), math.nan)
    assert torch.isfinite(decode(lost, anchor)).all()


def test_clipping_keeps_a_voxel_on_every_axis() -> None:
    boxes = torch.tensor([[-3.0, 2, 1, 5, 90, 3], [10.2, 10, 4.2, 10.4, 20, 4.6], [70, 0, 7.8, 75, 3, 9]])
    expected = torch.tensor([[0.0, 2, 1, 5, 64, 3], [10.2, 10, 4.2, 11.2, 20, 5.2], [63, 0, 7, 64, 3, 8]])
    torch.testing.assert_close(clip(boxes, (64, 64, 8)), expected)


def test_a_mirrored_box_holds_the_mirrored_voxels() -> None:
    image = torch.zeros(10, 12, 6)
    image[2:5, 3:9, 1:2] = 1
    for axes in ((0,), (1, 2), (0, 1, 2)):
        x0, y0, z0, x1, y1, z1 = flip(torch.tensor([[2.0, 3, 1, 5, 9, 2]]), image.shape, axes)[0].int().tolist()
        mirrored = image.flip(axes)
        assert mirrored[x0:x1, y0:y1, z0:z1].all() and mirrored.sum() == (x1 - x0) * (y1 - y0) * (z1 - z0)


def test_selection_by_hand() -> None:
    """Three anchors, two of them on one lesion: each class has its own boxes, from 0.1, best first."""
    references = torch.tensor([[0.0, 0, 0, 8, 8, 2], [1, 0, 0, 9, 8, 2], [32, 32, 0, 40, 40, 2]])
    probabilities = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.91, 0.09, 0.0]])
    found = select(probabilities, torch.zeros(3, 6), references, (64, 64, 8), score_from=0.1, threshold=1e-5, limit=30,
                   candidates=100)
    assert found["labels"].tolist() == [2, 1]
    torch.testing.assert_close(found["scores"], torch.tensor([0.7, 0.3]))
    torch.testing.assert_close(found["boxes"], references[[1, 0]])
    own = torch.zeros(3, 3, 6)
    own[1, 2, 0] = 10.0  # class 2's box of the second anchor lies one side further
    moved = select(probabilities, own, references, (64, 64, 8), score_from=0.1, threshold=1e-5, limit=1, candidates=100)
    assert moved["boxes"][0].tolist() == [9, 0, 0, 17, 8, 2] and moved["boxes"][1].tolist() == [0, 0, 0, 8, 8, 2]
    few = select(probabilities, own, references, (64, 64, 8), score_from=0.1, threshold=1e-5, limit=9, candidates=1)
    assert few["scores"].tolist() == pytest.approx([0.7, 0.3])


def test_nothing_is_selected_where_nothing_scores() -> None:
    found = select(torch.tensor([[1.0, 0, 0]]), torch.zeros(1, 6), torch.ones(1, 6), (64, 64, 8), score_from=0.1,
                   threshold=1e-5, limit=30, candidates=100)
    assert [tuple(found[key].shape) for key in ("boxes", "labels", "scores")] == [(0, 6), (0,), (0,)]
    assert found["labels"].dtype == torch.int64
