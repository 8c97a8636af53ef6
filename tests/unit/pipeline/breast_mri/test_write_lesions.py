"""Rows of lesions from their slices, enhancement curves of the files, and the picture of contrasts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from evaluation import batch_of, evaluate, rows

from pipeline.breast_mri.write_lesions import PHASES, WriteLesionPredictions
from pipeline.explain.stacks import load_stack
from pipeline.report.parts.lesions import load_curves

STORED = [*PHASES, "sub", "t2"]


def logit(p: float) -> list[float]:
    return [0.0, float(np.log(p / (1 - p)))]


def slice_of(lesion: str, array: Any = "", label: int = 1, **changed: Any) -> dict[str, Any]:
    return {"exam_id": "E1", "patient_id": "P1", "side": "L", "lesion_id": lesion, "split": "test", "label": label,
            "groups": {"density": "c"}, "readers": {"one": 4.0}, "missing": [], "array": str(array),
            "curve": dict(zip(PHASES, (100.0, 200.0, 190.0, 175.0, 160.0), strict=True)), **changed}


def test_a_lesion_has_the_largest_score_of_its_slices(tmp_path, capsys) -> None:
    first = batch_of(slice_of("1"), slice_of("2", label=0, split="validation"), slice_of("1"))
    evaluate(WriteLesionPredictions(tmp_path, 2),
             (first, torch.tensor([logit(0.2), logit(0.4), logit(0.7)])),
             (batch_of(slice_of("1")), torch.tensor([logit(0.6)])))
    found = rows(tmp_path / "predictions.csv")
    assert [(r["lesion_id"], r["score"], r["slices"]) for r in found] == [("1", "0.7", "3"), ("2", "0.4", "1")]
    assert found[1] == {"exam_id": "E1", "patient_id": "P1", "side": "L", "lesion_id": "2", "fold": "2",
                        "split": "validation", "label": "0", "score": "0.4", "slices": "1", "group_density": "c",
                        "reader_one": "4.0"}
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]
    assert capsys.readouterr().out.startswith("2 lesions in ")


def test_curves_are_the_files(tmp_path) -> None:
    """What preparation measured in the files goes to the table, whatever the arrays hold."""
    patches = np.random.default_rng(0).uniform(0, 2, (2, 7, 16, 16)).astype(np.float16)
    np.save(tmp_path / "a.npy", patches)
    out = tmp_path / "out"
    both = slice_of("1", tmp_path / "a.npy", 0), slice_of("2", tmp_path / "a.npy")
    cases = *both, slice_of("3", "none", missing=["t2"])
    evaluate(WriteLesionPredictions(out, 0, STORED), (batch_of(*cases), torch.zeros(3, 2)))
    curves = rows(out / "curves.csv")
    assert [(c["lesion_id"], c["label"]) for c in curves] == [("1", "0"), ("2", "1")]  # the third lacks a contrast
    assert [float(curves[0][name]) for name in PHASES] == [100.0, 200.0, 190.0, 175.0, 160.0]
    enhancement = load_curves(SimpleNamespace(folds=[0], variants=["a"], place=lambda variant, fold: out))
    np.testing.assert_allclose(enhancement[list(PHASES)], [[0, 1.0, 0.9, 0.75, 0.6]] * 2)
    with np.load(out / "contrasts.npz") as shown:
        assert list(shown["names"]) == STORED
        np.testing.assert_array_equal(shown["patch"], patches[1])  # the middle slice of two


@pytest.mark.parametrize("stored", [[], ["pre", "post1", "t2"]])
def test_without_all_phases_there_are_no_curves(tmp_path, stored) -> None:
    evaluate(WriteLesionPredictions(tmp_path, 0, stored), (batch_of(slice_of("1", "none")), torch.zeros(1, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


def test_slices_of_test_lesions_are_kept_where_asked(tmp_path) -> None:
    patches = np.zeros((3, 7, 8, 8), np.float16)
    patches[1, 1, 2, 5] = 1.0  # post1, which is shown; rows and columns are turned as readers look
    np.save(tmp_path / "a.npy", patches)
    out = tmp_path / "out"
    evaluate(WriteLesionPredictions(out, 0, STORED, stacks=True),
             (batch_of(slice_of("1", tmp_path / "a.npy"), slice_of("2", tmp_path / "a.npy", split="validation")),
              torch.zeros(2, 2)))
    (path,) = (out / "stacks").iterdir()
    found = load_stack(path)
    assert found.names == {"exam_id": "E1", "side": "L", "lesion_id": "1"} and found.heat is None
    assert found.image.shape == (3, 8, 8)
    assert np.unravel_index(found.image.argmax(), found.image.shape) == (1, 5, 2)
