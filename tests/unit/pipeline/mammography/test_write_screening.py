"""Predictions of a screening exam, and whether its regions hold the lesion, worked out by hand."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.mammography.write_screening import WriteScreening


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def evaluated(folder: Path, center: list[float], boxes: list[list[int]]) -> WriteScreening:
    """One test exam of two views of 40 × 100 pixels; tissue fills columns 0 to 49."""
    tissue = np.zeros((1, 1, 40, 100), np.uint16)
    tissue[..., :50] = 500
    np.save(folder / "a.npy", tissue)
    same: dict[str, Any] = {
        "exam_id": "E1", "patient_id": "P1", "side": "L", "split": "test", "malignant": 1, "detection": "screen",
        "groups": {"detection": "screen"}, "readers": {"a": {"L": 4.0}}, "frame": [40, 100, 0, 0], "center": center,
        "boxes": boxes, "array": str(folder / "a.npy")}
    two = [{**same, "view": "CC", "image_id": "L-CC", "holistic": 1.0},
           {**same, "view": "MLO", "image_id": "L-MLO", "holistic": 2.0}]
    batch = {key: [case[key] for case in two] for key in two[0]} | {"label": [1, 1]}
    logits = torch.tensor([[0.0, 0.5], [1.0, 0.5]])  # scores 0.5 and −0.5
    handler = WriteScreening(folder / "out", fold=0, region=20)
    engine: Any = SimpleNamespace(state=SimpleNamespace(batch=batch, output={"pred": logits}))
    handler.start(engine)
    handler.collect(engine)
    handler.write(engine)
    return handler


def test_scores_of_an_exam(tmp_path) -> None:
    evaluated(tmp_path, [20.0, 30.0], [])
    found = {row["variant"]: float(row["score"]) for row in rows(tmp_path / "out" / "predictions.csv")}
    # Breasts: 1 + 2, 0.5 − 0.5, 0.75 + 0.75; the logistic of half of each.
    assert found == pytest.approx({"holistic": 0.817574, "attention": 0.5, "ensemble": 0.679179}, abs=1e-6)


def test_a_region_that_holds_the_lesion_and_chance(tmp_path) -> None:
    box = [[10, 30, 20, 40, 1], [0, 0, 4, 4, 0]]  # rows 10 to 19, columns 30 to 39: its middle is (14.5, 34.5)
    evaluated(tmp_path, [20.0, 30.0], box)  # the region has rows 10 to 29 and columns 20 to 39
    found = rows(tmp_path / "out" / "regions.csv")
    assert [row["hit"] for row in found] == ["1", "1"]
    # Of the tissue's places, those with a region that reaches the middle: rows up to 24 or so, and columns 25 to 44.
    by_hand = np.mean([[abs(np.clip(r - 9.5, 0, 20).round() + 9.5 - 14.5) <= 10 and
                        abs(np.clip(c - 9.5, 0, 80).round() + 9.5 - 34.5) <= 10 for c in range(50)] for r in range(40)])
    assert float(found[0]["chance"]) == pytest.approx(by_hand, abs=0.02)
    evaluated(tmp_path, [34.5, 14.5], box)  # rows and columns are not each other
    assert [row["hit"] for row in rows(tmp_path / "out" / "regions.csv")] == ["0", "0"]
    evaluated(tmp_path, [34.5, 14.5], [])  # no box is known: no table of an earlier evaluation stays
    assert not (tmp_path / "out" / "regions.csv").exists()
