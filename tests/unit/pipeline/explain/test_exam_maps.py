"""Maps of an exam's four answers: they add up to the answers, and lie where planted evidence lies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.explain.evidence import evidence_map
from pipeline.explain.exam_maps import KINDS, ExamMapInferer, exam_evidence, picked_map, stack_cam
from pipeline.networks.doubly_deep import ANSWERS, DoublyDeepNet, ResidualBlock, probabilities


def network(bias: bool = True, micro_batch: int = 2) -> DoublyDeepNet:
    """Random weights, all at work; cells of 16 pixels."""
    torch.manual_seed(0)
    made = DoublyDeepNet((4, 6, 8), (1, 1, 1), 12, micro_batch=micro_batch)
    for name, parameter in made.named_parameters():
        nn.init.normal_(parameter, std=0.3) if name.endswith("weight") else nn.init.constant_(parameter, 0.1 * bias)
    return made.double()


def exam(*shape: int) -> torch.Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1)).double()


def differences(logits: torch.Tensor) -> torch.Tensor:
    return (logits[0, 1::2] - logits[0, ::2]).detach()


def test_what_was_picked_adds_up_to_the_answers() -> None:
    made, image = network(), exam(48, 64, 9)
    logits, cells = picked_map(made, image)
    assert cells.shape == (1, 4, 3, 4, 9) and torch.equal(logits, made(image).float())
    heads = differences(made.heads.bias[None])
    torch.testing.assert_close(cells.sum(dim=(0, 2, 3, 4)), (differences(made(image)) - heads).float())
    assert 1 <= (cells[0] != 0).any(dim=0).sum() <= 12  # a cell a channel, or fewer


def test_evidence_adds_up_to_the_answers() -> None:
    """Without biases the network is linear around an exam: input times gradient adds up to its logits."""
    made, image = network(bias=False), exam(48, 64, 9)
    logits, maps = exam_evidence(made, image, spread=0.01)
    assert maps.shape == (1, 4, 48, 64, 9)
    torch.testing.assert_close(maps.sum(dim=(0, 2, 3, 4)), differences(logits), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("micro_batch", [1, 4])
def test_evidence_a_few_slices_at_a_time_is_the_whole_exam_s(micro_batch) -> None:
    made, image = network(micro_batch=micro_batch), exam(48, 64, 9)
    image[..., 5] *= 20  # the first slice has no part in the answers
    _, maps = exam_evidence(made, image, spread=2.0)
    for answer in range(4):
        _, whole = evidence_map(lambda x, at=2 * answer: made(x)[:, at : at + 2], image, spread=2.0)
        torch.testing.assert_close(maps[:, answer : answer + 1], whole, rtol=1e-4, atol=1e-5)
    assert maps[..., 5].any() and not maps[..., 0].any()
    assert all(p.requires_grad and p.grad is None for p in made.parameters()) and made.training


def test_grad_cam_weighs_the_stack_by_the_mean_gradient() -> None:
    made, image = network(), exam(48, 64, 9)
    logits, cams = stack_cam(made, image)
    maps = made.maps(image).detach().requires_grad_(True)
    for answer, cam in enumerate(cams[0]):
        (slope,) = torch.autograd.grad(made.answers(maps)[0, 2 * answer + 1] - made.answers(maps)[0, 2 * answer], maps)
        expected = (slope.mean() * maps.detach()).clamp(min=0)[0, 0]  # (Z, y, x)
        torch.testing.assert_close(cam, expected.permute(2, 1, 0).float())
    torch.testing.assert_close(logits, made(image).float())


@pytest.mark.parametrize("kind", KINDS)
def test_the_peak_is_the_answer_s_probability(kind) -> None:
    made, image = network().float(), exam(48, 64, 9).float()
    answer = ExamMapInferer(kind)(image, made)
    assert answer["heatmap"].shape == (1, 4, 48, 64, 9) and answer["heatmap"].min() >= 0
    peaks = answer["heatmap"].flatten(2).amax(dim=2)
    some = peaks > 0  # nothing may speak for an answer
    assert some.any()
    torch.testing.assert_close(peaks[some], probabilities(made(image)).detach()[some])


def test_without_maps_there_are_logits() -> None:
    made, image = network().float(), exam(48, 64, 3).float()
    answer = ExamMapInferer("without")(image, made)
    assert answer.keys() == {"logits"} and torch.equal(answer["logits"], made(image)) and not made.training
    with pytest.raises(InputError, match="no heat map 'cam'; choose evidence, grad_cam, picked or without"):
        ExamMapInferer("cam")


# --- planted evidence -------------------------------------------------------------------------------------------------

BRIGHT, DARK = (40, 100, 3), (110, 36, 7)  # of 160 × 128 × 10 voxels; cells lie on multiples of 32 × 32 × 1


def plant(made: DoublyDeepNet) -> None:
    """Left malignant rises with one bright place, right benign with one that is darker than nothing, the rest never."""
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.trunk[0][0].weight[0] = 1 / 25
        made.trunk[0][0].weight[1] = -1 / 25
        for module in made.modules():
            if isinstance(module, ResidualBlock) and isinstance(module.shortcut, nn.Conv2d):
                for channel in (0, 1):
                    module.shortcut.weight[channel, channel] = 1
        made.collapse.weight[0, :2] = torch.tensor([1.0, -1.0])[:, None, None]
        made.block.shortcut.weight[:2, 0] = torch.tensor([1.0, -1.0])[:, None, None, None]
        for answer, channel in ((ANSWERS.index("left malignant"), 0), (ANSWERS.index("right benign"), 1)):
            made.heads.weight[2 * answer, channel], made.heads.weight[2 * answer + 1, channel] = -2.0, 2.0


@pytest.mark.parametrize(("kind", "near"), [("evidence", (12, 12, 1)), ("grad_cam", (16, 16, 1)),
                                            ("picked", (16, 16, 1))])
def test_planted_evidence_is_hot_in_its_answer(kind, near) -> None:
    made = DoublyDeepNet((2, 2, 2, 2), features=2).eval()
    plant(made)
    image = torch.zeros(1, 1, 160, 128, 10)
    for (x, y, z), value in ((BRIGHT, 1.0), (DARK, -1.0)):
        image[0, 0, x - 14 : x + 15, y - 14 : y + 15, z - 1 : z + 2] = value
    answer = ExamMapInferer(kind)(image, made)
    probability = probabilities(answer["logits"])[0]
    for name, place, other in (("left malignant", BRIGHT, DARK), ("right benign", DARK, BRIGHT)):
        found = answer["heatmap"][0, ANSWERS.index(name)]
        hottest = (found >= 0.95 * found.max()).nonzero().float().mean(dim=0)
        assert (torch.abs(hottest - torch.tensor(place)) <= torch.tensor(near)).all(), (name, hottest)
        assert found[other] < 0.1 * found.max() and found.max() > 0.9
    for name in ("left benign", "right malignant"):
        assert not answer["heatmap"][0, ANSWERS.index(name)].any()
        assert probability[ANSWERS.index(name)] == 0.5
