"""What is read off a detector's output while it trains."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.training.box_precision import BoxPrecision, term

BOX = torch.tensor([[0.0, 0, 0, 10, 10, 4]])


def case(boxes: list[list[float]], labels: list[int], scores: list[float], true: list[int]) -> tuple[dict, dict]:
    found = {"boxes": torch.tensor(boxes).reshape(-1, 6), "labels": torch.tensor(labels, dtype=torch.int64),
             "scores": torch.tensor(scores)}
    return found, {"boxes": BOX.repeat(len(true), 1), "labels": torch.tensor(true, dtype=torch.int64)}


def test_a_term_is_read_by_its_name() -> None:
    assert term("loss")({"pred": {"loss": 1.5, "class": 1.0}, "label": []}) == 1.5


def test_the_mean_over_the_classes_that_are_there() -> None:
    metric = BoxPrecision(iou=0.1)
    metric.reset()
    right = case(BOX.tolist(), [2], [0.9], [2])
    wrong = case([[30.0, 30, 0, 40, 40, 4], BOX[0].tolist()], [1, 1], [0.9, 0.4], [1])  # the lesion comes second
    none = case([], [], [], [])
    for found, true in (right, wrong, none):
        metric.update(metric._output_transform({"pred": {"detections": [found]}, "label": [true]}))
    assert metric.compute() == pytest.approx((1.0 + 0.5) / 2)
    metric.reset()
    metric.update(([none[0]], [none[1]]))
    assert math.isnan(metric.compute())


def test_of_several_processes_all_cases_count(monkeypatch) -> None:
    """Half of the cases each, here one after the other: both say what one process says of all."""
    cases = [case(BOX.tolist(), [2], [0.9], [2]), case([[30.0, 30, 0, 40, 40, 4]], [2], [0.95], []),
             case(BOX.tolist(), [2], [0.5], [2]), case(BOX.tolist(), [1], [0.3], [1])]

    def metric(*some) -> BoxPrecision:
        made = BoxPrecision()
        made.reset()
        for found, true in some:
            made.update(([found], [true]))
        return made

    shares = [metric(*cases[:2]), metric(*cases[2:])]
    parts = [(share.scores, share.results, share.lesions) for share in shares]
    assert shares[0].compute() != shares[1].compute()
    whole = metric(*cases).compute()
    monkeypatch.setattr("pipeline.training.distributed.gather", lambda value: parts)
    assert [share.compute() for share in shares] == [whole] * 2
