"""Mask R-CNN: its size, its proposals and samples, and that it learns a breast by heart."""

from __future__ import annotations

import pytest
import torch
from lesion_images import HALF, LESION, answers, breast, learn

from pipeline.networks.detection.anchors import anchors
from pipeline.networks.detection.boxes import encode, iou
from pipeline.networks.detection.mask_rcnn import MaskHead, MaskRCNN, RegionHead, Sampled, Seen

SMALL = {**HALF, "widths": (2, 2, 3, 4, 5), "features": 4, "head_features": 4}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_by_part() -> None:
    network = MaskRCNN()
    pyramid = network.pyramid
    assert [count(pyramid.backbone), count(pyramid.lateral) + count(pyramid.smooth), count(network.proposals),
            count(network.regions), count(network.masks)] == [2_659_248, 185_688, 127_640, 786_117, 150_627]
    assert count(network) == 3_909_320
    assert count(pyramid.lateral["P1"]) + count(pyramid.smooth["P1"]) == 35_712  # of no use in the published one either


def test_shapes_of_what_is_said_of_regions() -> None:
    with torch.no_grad():
        logits, deltas = RegionHead(4, 8)(torch.zeros(5, 4, 3, 7, 7))
        outlines = MaskHead(4)(torch.randn(5, 4, 5, 14, 14))
    assert logits.shape == (5, 3) and deltas.shape == (5, 3, 6) and outlines.shape == (5, 3, 10, 28, 28)


def test_proposals_are_the_best_anchors_moved_and_apart() -> None:
    """One anchor says lesion and where it is; every other says background."""
    every, lesion = anchors((64, 64, 8)), torch.tensor([[20.0, 22, 1, 32, 30, 5]])
    near = int(iou(every, lesion)[:, 0].argmax())
    logits, deltas = torch.zeros(1, len(every), 2), torch.zeros(1, len(every), 6)
    logits[0, near, 1] = 9.0
    deltas[0, near] = encode(lesion, every[near: near + 1])[0]
    boxes = MaskRCNN(**SMALL).propose(Seen({}, logits, deltas), (64, 64, 8), 75)[0]
    torch.testing.assert_close(boxes[:1], lesion, rtol=1e-4, atol=1e-3)
    overlaps = iou(boxes, boxes).fill_diagonal_(0)
    assert len(boxes) == 75 and overlaps.max() <= 0.7


def test_proposals_from_an_overlap_of_0_3_are_of_lesions() -> None:
    target = {"boxes": torch.tensor([[0.0, 0, 0, 8, 8, 2]]), "labels": torch.tensor([2])}
    proposals = torch.tensor([[4.0, 0, 0, 12, 8, 2], [5, 0, 0, 13, 8, 2], [40, 40, 0, 48, 48, 2]])  # IoU 1/3, 3/13, 0
    found = Sampled.of(proposals, torch.full((3, 3), 1 / 3), target)
    assert found.positive.tolist() == [0] and found.negative.tolist() == [2]
    assert found.labels.tolist() == [2] and found.boxes.tolist() == target["boxes"].tolist()


def test_a_lesion_that_no_proposal_meets_is_learnt_from() -> None:
    """Every proposal lies where no lesion is; the regions' head sees the lesion none the less, with its class."""
    network = MaskRCNN(**SMALL)
    network.propose = lambda seen, size, limit: [torch.tensor([[40.0, 40, 0, 56, 56, 4]])]
    pyramid = {f"P{n}": torch.zeros(1, 4, 8 >> (n - 2), 64 >> n, 64 >> n) for n in (2, 3, 4, 5)}
    said = torch.zeros(2, 3)
    said[:, 2] = 3  # malignant everywhere: right of the lesion, wrong of the background
    network.regions.forward = lambda regions: (said[:len(regions)], torch.zeros(len(regions), 3, 6))
    target = {"boxes": torch.tensor([[8.0, 8, 1, 20, 20, 5]]), "labels": torch.tensor([2])}
    terms = network._region_losses(Seen(pyramid, torch.zeros(1, 1, 2), torch.zeros(1, 1, 6)), [target], (64, 64, 8))
    right, wrong = (float(torch.logsumexp(said[0], 0)) - x for x in (3, 0))
    assert float(terms["class"]) == pytest.approx((right + wrong) / 2) and float(terms["box"]) == 0


def test_an_outline_is_learnt_from_its_own_lesion_alone() -> None:
    """Logits that say inside everywhere: only what is outside of lesion 2 within its region costs."""
    network, mask = MaskRCNN(**SMALL), torch.zeros(1, 64, 64, 8, dtype=torch.uint8)
    mask[:, 8:16], mask[:, 16:24] = 1, 2
    region = torch.tensor([[8.0, 8, 2, 24, 16, 4]])  # lesion 2 is its second half
    one = torch.ones(1, dtype=torch.int64)
    chosen = Sampled(one, one, region, one, one, region)  # index 1 stands for number 2
    network.masks.forward = lambda regions: torch.full((len(regions), 3, 10, 28, 28), 20.0)
    pyramid = {f"P{n}": torch.zeros(1, 4, 8 >> (n - 2), 64 >> n, 64 >> n) for n in (2, 3, 4, 5)}
    seen = Seen(pyramid, torch.zeros(1, 1, 2), torch.zeros(1, 1, 6))
    assert float(network._mask_loss(seen, [chosen], [{"mask": mask}])) == pytest.approx(20 / 2, rel=1e-3)


@pytest.mark.slow
def test_a_breast_is_learnt_by_heart() -> None:
    """With a malignant lesion, beside one without, so that there is something that is none."""
    pairs = [breast((LESION, 2)), breast(seed=1)]
    torch.manual_seed(0)
    network = MaskRCNN(**HALF)
    learn(network, torch.stack([image for image, _ in pairs]), [target for _, target in pairs], steps=40, rate=1e-3)
    found = answers(network, pairs[0][0][None])[0]
    assert int(found["labels"][0]) == 2 and float(found["scores"][0]) > 0.5
    assert float(iou(found["boxes"][:1], pairs[0][1]["boxes"])) > 0.7
