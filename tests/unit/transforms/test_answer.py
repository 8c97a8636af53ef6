"""One answer for every host: the map's form, the decision, and what a viewer asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from transforms.answer import answered
from transforms.errors import InputError

AFFINE = np.array([[-2.0, 0, 0, 5], [0, 3, 0, 6], [0, 0, 4, 7], [0, 0, 0, 1]])
META = {"original_affine": AFFINE, "affine": torch.eye(4), "spatial_shape": (5, 1, 1), "digests": {"pre": "1"}}
HEAT = torch.tensor([0.0, 0.49, 0.5, 0.75, 0.95]).reshape(5, 1, 1)


def ask(**data):
    return answered({"image": "x", **data}, "pred", {"type": "t", "probability": 0.7, "notes": ["a"]}, HEAT, META,
                    threshold=0.7)


def test_a_float_map_and_a_decision() -> None:
    found = ask(notes="b\nc")
    assert found["pred"].shape == (1, 5, 1, 1) and torch.equal(found["pred"].as_tensor()[0], HEAT)
    np.testing.assert_array_equal(found["pred"].affine, AFFINE)
    assert "digests" not in found["pred"].meta
    assert found["result"] == {
        "type": "t", "probability": 0.7, "notes": ["a", "b", "c"], "decision": {"threshold": 0.7, "positive": True},
        "heatmap": {"output": "float", "levels": [0.5, 0.75, 0.9], "max": pytest.approx(0.95)}}


@pytest.mark.parametrize("asked", [{"heatmap_output": "labels"}, {"result_dtype": "uint8"},
                                   {"heatmap_output": ["labels", "float"]}])
def test_levels_where_a_viewer_would_cut_numbers_to_zeros(asked) -> None:
    found = ask(**asked)
    assert found["pred"].dtype == torch.uint8 and found["pred"].flatten().tolist() == [0, 0, 1, 2, 3]
    assert found["result"]["heatmap"]["max"] == pytest.approx(0.95)


def test_the_ending_that_a_viewer_asked_for_stays() -> None:
    assert ask(result_extension=".nrrd")["result_extension"] == ".nrrd" and ask()["result_extension"] == ".nii.gz"
    assert ask(heatmap_output="float", result_dtype="uint8")["pred"].dtype == torch.float32
    with pytest.raises(InputError, match=r"heatmap_output 'png': choose float or labels"):
        ask(heatmap_output="png")
