"""How well a detector's boxes fit the validation cases' lesions, as a metric of an evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from ignite.metrics import Metric

from pipeline.metrics.average_precision import AveragePrecision, matched
from pipeline.training import distributed

CLASSES = (1, 2)  # benign, malignant


def term(name: str) -> Callable[[dict[str, Any]], Any]:
    """One of a detector's losses off an engine's output, for a metric of its mean."""
    return lambda output: output["pred"][name]


class BoxPrecision(Metric):
    """Average precision of an evaluator's `detections` against their targets, the mean over the classes.

    Its output's `pred` has the `detections`, its `label` is the list of targets, one a case. A class of which no case
    has a lesion is left out; NaN where that is so of all. Of several processes, all cases count in each.

    Args:
        iou: overlap from which a box finds a lesion.
    """

    def __init__(self, iou: float = 0.1) -> None:
        self.iou = float(iou)
        super().__init__(output_transform=lambda output: (output["pred"]["detections"], output["label"]))

    def reset(self) -> None:
        self.scores: dict[int, list[np.ndarray]] = {label: [] for label in CLASSES}
        self.results: dict[int, list[np.ndarray]] = {label: [] for label in CLASSES}
        self.lesions: dict[int, list[int]] = {label: [] for label in CLASSES}

    def update(self, output: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
        for found, true in zip(*output, strict=True):
            for label in CLASSES:
                own, lesions = found["labels"] == label, true["boxes"][true["labels"] == label].cpu().numpy()
                scores, order = found["scores"][own].sort(descending=True, stable=True)
                results, _ = matched(found["boxes"][own][order].cpu().numpy(), lesions, self.iou)
                self.scores[label].append(scores.cpu().numpy())
                self.results[label].append(results)
                self.lesions[label].append(len(lesions))

    def compute(self) -> float:
        parts = distributed.gather((self.scores, self.results, self.lesions))
        values = []
        for label in CLASSES:
            scores = [each for part in parts for each in part[0][label]]
            results = [each for part in parts for each in part[1][label]]
            lesions = [count for part in parts for count in part[2][label]]
            if sum(lesions):
                values.append(AveragePrecision(scores, results, lesions)(np.ones((1, len(lesions))))[0])
        return float(np.mean(values)) if values else math.nan
