"""Maps are made of those cases that somebody reads, and scores do not depend on it."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedEvaluator

from pipeline.explain import evidence
from pipeline.explain.evidence import HeatMapInferer
from pipeline.explain.exam_maps import ExamMapInferer
from pipeline.explain.wanted import of_the_test
from pipeline.networks.curriculum_resnet import CurriculumResNet
from pipeline.networks.doubly_deep import DoublyDeepNet

SPLITS = ["validation", "test", "validation", "validation", "test"]


def outputs(network, inferer, images: torch.Tensor, size: int, **settings) -> list[dict[str, torch.Tensor]]:
    """What an evaluator gets for each batch."""
    batches = [{"image": images[i : i + size], "label": torch.zeros(len(images[i : i + size])),
                "split": SPLITS[i : i + size]} for i in range(0, len(images), size)]
    found: list[dict[str, torch.Tensor]] = []
    evaluator = SupervisedEvaluator(torch.device("cpu"), batches, network, inferer=inferer, decollate=False, **settings)
    evaluator.add_event_handler("ITERATION_COMPLETED", lambda engine: found.append(engine.state.output["pred"]))
    evaluator.run()
    return found


@pytest.mark.parametrize("kind", ["evidence", "activation"])
def test_breasts_of_the_test_alone_are_mapped(monkeypatch, kind) -> None:
    torch.manual_seed(0)
    network, images = CurriculumResNet(in_channels=2).eval(), torch.rand(5, 2, 64, 64, 8)
    for parameter in network.classifier.parameters():  # it starts at zero
        torch.nn.init.normal_(parameter, std=0.2)
    way, made = f"{kind}_map", []
    plain = getattr(evidence, way)
    monkeypatch.setattr(evidence, way, lambda *given: made.append(1) or plain(*given))
    inferer = HeatMapInferer(kind, body_channel=None)
    every, (first, second, third) = (outputs(network, inferer, images, 2, **settings)
                                     for settings in ({}, {"prepare_batch": of_the_test}))
    assert len(made) == 5 + 2
    for before, now in zip(every, (first, second, third), strict=True):
        torch.testing.assert_close(now["logits"], before["logits"], rtol=1e-5, atol=1e-6)
    assert "heatmap" not in second and not first["heatmap"][0].any()
    assert torch.equal(first["heatmap"][1], every[0]["heatmap"][1]) and torch.equal(third["heatmap"],
                                                                                    every[2]["heatmap"])


def test_exams_of_the_test_alone_are_mapped() -> None:
    torch.manual_seed(0)
    network, images = DoublyDeepNet((4, 6, 8), (1, 1, 1), 12).eval(), torch.rand(5, 1, 48, 64, 3)
    inferer = ExamMapInferer("evidence")
    every, some = (outputs(network, inferer, images, 1, **settings)
                   for settings in ({}, {"prepare_batch": of_the_test}))
    assert [("heatmap" in one) for one in some] == [split == "test" for split in SPLITS]
    for before, now, split in zip(every, some, SPLITS, strict=True):
        torch.testing.assert_close(now["logits"], before["logits"], rtol=1e-5, atol=1e-6)
        assert split != "test" or torch.equal(now["heatmap"], before["heatmap"])
