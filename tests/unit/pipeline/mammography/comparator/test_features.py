"""Scores and features of the frozen four-view network, and what is computed again."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.files.receipts import digest
from pipeline.mammography.comparator.exams import ExamWindows
from pipeline.mammography.comparator.features import FourViewFeatures, adapted_scores, labelled
from pipeline.networks.four_view import VIEWS, FourViewNetwork, adapted_head

SCALE = 0.04


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four_view")
    torch.manual_seed(0)
    torch.save(FourViewNetwork().state_dict(), folder / "weights.p")
    random = np.random.default_rng(0)
    for name in VIEWS:
        np.save(folder / f"{name}.npy", random.integers(1, 5000, (1, 1, 140, 90)).astype(np.uint16))
    return folder


@pytest.fixture
def exam(folder):
    views = {name: {"image": str(folder / f"{name}.npy"), "frame": [150, 120, 5, 0],
                    "sha256": digest(folder / f"{name}.npy")} for name in VIEWS}
    return {"exam_id": "E1", "split": "train", "label": 1, "views": views}


def test_means_over_crops_of_the_networks_answers(folder, exam, tmp_path) -> None:
    (found,) = FourViewFeatures(folder / "weights.p", tmp_path, scale=SCALE, augment=2)([exam])
    network = FourViewNetwork().eval()
    network.load_state_dict(torch.load(folder / "weights.p"))
    with torch.no_grad():
        crops = list(ExamWindows(SCALE, 2)(exam))
        chances = (network(crops[0]) + network(crops[1]))[0] / 2
        hidden = (torch.cat(network.hidden(crops[0]), 1) + torch.cat(network.hidden(crops[1]), 1))[0] / 2
    assert found["score"] == pytest.approx(float(max(chances[2], chances[3])), abs=1e-6)
    torch.testing.assert_close(found["image"], hidden)
    assert found["image"].shape == (1024,) and found["label"] == 1


def test_an_exam_is_computed_once(folder, exam, tmp_path, capsys) -> None:
    features = FourViewFeatures(folder / "weights.p", tmp_path, scale=SCALE)
    (first,) = features([exam])
    again = FourViewFeatures(folder / "weights.p", tmp_path, scale=SCALE)
    again.network = None  # not needed
    (second,) = again([exam])
    assert torch.equal(first["image"], second["image"]) and first["score"] == second["score"]
    assert "1 exams, 1 known, 0 computed" in capsys.readouterr().out
    next(tmp_path.iterdir()).write_bytes(b"broken")
    assert features([exam])[0]["score"] == first["score"]
    features([exam])
    path = exam["views"]["L-CC"]["image"]
    os.utime(path, (1, 1))  # copied: the same content
    features([exam])
    np.save(path, np.load(path) + 1)  # prepared again
    exam["views"]["L-CC"]["sha256"] = digest(path)
    features([exam])
    counts = [line.split(", ")[2] for line in capsys.readouterr().out.splitlines()]
    assert counts == ["1 computed", "0 computed", "0 computed", "1 computed"]


def test_scores_of_a_head(exam, tmp_path) -> None:
    head = adapted_head()
    with torch.no_grad():
        head.weight.zero_()
        head.weight[1, 3] = 2.0
        head.bias.copy_(torch.tensor([0.0, -1.0]))
    torch.save(head.state_dict(), tmp_path / "head.pt")
    image = torch.zeros(1024)
    image[3] = 0.75
    (found,) = adapted_scores(adapted_head(), tmp_path / "head.pt", [{**exam, "image": image}])
    assert found["score"] == pytest.approx(0.6224593)  # the logistic of 2 · 0.75 − 1


def test_both_classes_are_trained_on(exam) -> None:
    others = [{**exam, "label": 0}, {**exam, "split": "test"}]
    assert [case["label"] for case in labelled([exam, *others], "train")] == [1, 0]
    with pytest.raises(InputError, match="no exams of both classes with four views in test"):
        labelled([exam, *others], "test")


def test_an_array_that_has_gone(folder, exam, tmp_path) -> None:
    exam["views"]["R-CC"]["image"] = str(tmp_path / "gone.npy")
    with pytest.raises(InputError, match=r"^gone.npy: cannot be read"):
        FourViewFeatures(folder / "weights.p", tmp_path, scale=SCALE)([exam])
