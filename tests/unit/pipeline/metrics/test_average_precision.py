"""Average precision: by hand, against MONAI's COCO metric, and under weights against volumes that are there twice."""

from __future__ import annotations

import numpy as np
import pytest
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou

from pipeline.metrics.average_precision import AveragePrecision, matched, overlaps
from pipeline.metrics.froc import FALSE, FOUND, NEITHER

LESIONS = np.array([[0, 0, 0, 10, 10, 4], [20, 20, 0, 30, 30, 4]], float)


def test_overlap_by_hand() -> None:
    others = np.array([[5, 0, 0, 15, 10, 4], [10, 0, 0, 12, 10, 4], [0, 0, 0, 10, 10, 4], [0, 0, 0, 5, 10, 2]], float)
    # Half of each of two equal boxes: 200 of 600; touching: 0; the same: 1; a quarter inside: 100 of 400.
    assert overlaps(LESIONS[:1], others)[0] == pytest.approx([1 / 3, 0, 1, 1 / 4])


def test_boxes_are_found_again_or_false() -> None:
    boxes = [[0, 0, 0, 10, 10, 4], [1, 0, 0, 11, 10, 4], [50, 50, 0, 60, 60, 4], [26, 26, 0, 36, 36, 4]]
    results, overlap = matched(boxes, LESIONS, 0.1)
    # The last overlaps 4 · 4 of 100 + 100 − 16: 0.087.
    assert results.tolist() == [FOUND, NEITHER, FALSE, FALSE]
    assert overlap == pytest.approx([1, 9 / 11, 0, 16 / 184])
    assert [len(each) for each in matched(np.zeros((0, 6)), LESIONS)] == [0, 0]
    assert matched(boxes, np.zeros((0, 6)))[0].tolist() == [FALSE] * 4


def test_average_precision_by_hand() -> None:
    # Two volumes, three lesions. From the top: found, false, found (the other volume), again: precisions 1, 1/2, 2/3,
    # 2/4 at recalls 1/3, 1/3, 2/3, 2/3. Recalls 0 … 0.33 have 1, 0.34 … 0.66 have 2/3, above nothing is reached.
    precision = AveragePrecision([[0.9, 0.8], [0.7, 0.6]], [[FOUND, FALSE], [FOUND, NEITHER]], [2, 1])
    assert precision(np.ones((1, 2)))[0] == pytest.approx((34 * 1 + 33 * 2 / 3) / 101)
    assert precision(np.array([[0.0, 1.0]]))[0] == pytest.approx(1.0)  # the second alone: its only lesion comes first
    assert np.isnan(AveragePrecision([[0.9]], [[FALSE]], [0])(np.ones((1, 1)))[0])
    assert AveragePrecision([[]], [[]], [2])(np.ones((1, 1)))[0] == 0.0  # no box in a whole fold


def volumes(random: np.random.Generator, count: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Lesions, boxes (some near lesions) and scores of each volume.

    The lesions of twelve are 16: recalls are exact in float32, in which COCO's metric has them.
    """
    made = []
    for i in range(count):
        corner = random.uniform(0, 40, ((0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 2, 0)[i], 3))
        lesions = np.concatenate([corner, corner + random.uniform(3, 15, corner.shape)], axis=1)
        near = lesions[random.integers(0, len(lesions), 3)] + random.normal(0, 3, (3, 6)) if len(lesions) else []
        far = random.uniform(0, 40, (3, 3))
        boxes = np.concatenate([*([near] if len(near) else []), np.concatenate([far, far + 6], axis=1)])
        boxes[:, 3:] = np.maximum(boxes[:, 3:], boxes[:, :3] + 1)
        made.append((lesions, boxes, random.permutation(len(boxes)) / 10 + random.uniform(0, 0.05)))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_coco(seed) -> None:
    made = volumes(np.random.default_rng(seed), 12)
    coco = COCOMetric(classes=["lesion"], iou_list=[0.1], iou_range=(0.1, 0.1, 0.05), max_detection=[100])
    zeros = [np.zeros(len(lesions), int) for lesions, _, _ in made]
    given = matching_batch(box_iou, coco.iou_thresholds, [b for _, b, _ in made],
                           [np.zeros(len(b), int) for _, b, _ in made], [s for _, _, s in made],
                           [lesions for lesions, _, _ in made], zeros)
    expected = coco(given)[0]["AP_IoU_0.10_MaxDet_100"]
    scores, results = [], []
    for lesions, boxes, score in made:
        order = np.argsort(-score, kind="stable")
        scores.append(score[order])
        results.append(matched(boxes[order], lesions, 0.1)[0])
    counts = [len(lesions) for lesions, _, _ in made]
    precision = AveragePrecision(scores, results, counts)
    assert 0.1 < expected < 0.95
    assert precision(np.ones((1, 12)))[0] == pytest.approx(expected, abs=1e-9)
    weight = np.random.default_rng(seed).integers(0, 3, (5, 12)).astype(float)
    for each, value in zip(weight, precision(weight), strict=True):
        twice = [i for i in range(12) for _ in range(int(each[i]))]
        repeated = AveragePrecision(*([part[i] for i in twice] for part in (scores, results, counts)))
        assert value == pytest.approx(repeated(np.ones((1, len(twice))))[0], abs=1e-9)
