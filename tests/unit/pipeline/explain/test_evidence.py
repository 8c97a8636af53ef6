"""Heat maps: exact where they can be, and in the right place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import InputError
from pipeline.explain.evidence import HeatMapInferer, activation_map, evidence_map, heat
from pipeline.networks.curriculum_resnet import CurriculumResNet


class Smoothing:
    """Answers with its input's channel 0, averaged on the network's grid: five strides of 2 in plane, two in z.

    As in `CurriculumResNet`, each stride keeps the first voxel, so cell (i, j, k) is centred on (32 i, 32 j, 4 k).
    """

    def activation_map(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = image[:, :1]
        for step in range(5):
            z = 2 if step > 2 else 1
            x = F.avg_pool3d(x, 3, (2, 2, z), 1, count_include_pad=False)
        maps = torch.cat([torch.zeros_like(x), x], 1)
        return maps.mean(dim=(2, 3, 4)), maps


def blob(size: tuple[int, int, int], center: tuple[int, int, int]) -> torch.Tensor:
    """A hot ball of 12 voxels in plane, 2 slices."""
    distance = sum(((torch.arange(n) - c) / r).reshape([-1 if i == axis else 1 for i in range(3)]) ** 2
                   for axis, (n, c, r) in enumerate(zip(size, center, (6, 6, 1.5), strict=True)))
    return (distance <= 1).float()[None, None] * 10


@pytest.mark.parametrize("center", [(64, 96, 8), (70, 60, 6), (48, 112, 9), (85, 40, 5)])
@pytest.mark.parametrize("size", [(128, 160, 16), (150, 145, 13)], ids=["multiples of the stride", "other sizes"])
def test_the_activation_map_is_hot_where_the_evidence_is(size, center) -> None:
    """Within half a cell in plane and half a slice cell."""
    _, evidence = activation_map(Smoothing(), blob(size, center))
    assert evidence.shape == (1, 1, *size)
    peak = np.array(np.unravel_index(int(evidence.argmax()), size))
    error = np.abs(peak - center)
    assert error[:2].max() <= 32 / 2 + 2
    assert error[2] <= 3


class Weighing(torch.nn.Module):
    """Logits that are linear in the image: 0, and the sum of voxels times weights."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(weights)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        malignant = (image * self.weights).sum(dim=(1, 2, 3, 4))
        return torch.stack([torch.zeros_like(malignant), malignant], dim=1)


def test_the_evidence_of_a_linear_network_is_each_voxels_share() -> None:
    image, weights = torch.randn(2, 3, 12, 10, 4), torch.randn(3, 12, 10, 4)
    network = Weighing(weights)
    logits, evidence = evidence_map(network, image, spread=0.05)  # too narrow to smooth
    torch.testing.assert_close(evidence, (image * weights).sum(1, keepdim=True))
    torch.testing.assert_close(evidence.sum(dim=(1, 2, 3, 4)), logits[:, 1])
    assert network.weights.grad is None and not image.requires_grad


def test_smoothing_spreads_evidence_and_loses_none() -> None:
    image = torch.zeros(1, 1, 41, 41, 3)
    image[0, 0, 20, 20, 1] = 1.0
    _, evidence = evidence_map(Weighing(torch.ones(1, 41, 41, 3)), image, spread=3.0)
    assert evidence.sum() == pytest.approx(1, abs=1e-5) and evidence[..., 0].abs().max() == 0
    at = torch.arange(41) - 20.0
    spread = float((evidence[0, 0].sum((1, 2)) * at**2).sum()) ** 0.5
    assert spread == pytest.approx(3, rel=0.05)
    assert evidence[0, 0, 20, 20, 1] == pytest.approx(1 / (2 * np.pi * 3**2), rel=0.01)


@pytest.fixture(scope="module")
def network() -> CurriculumResNet:
    torch.manual_seed(0)
    network = CurriculumResNet(in_channels=2).eval()
    for parameter in network.classifier.parameters():  # it starts at zero
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("way", [evidence_map, activation_map])
def test_logits_are_the_networks(network, way) -> None:
    image = torch.randn(2, 2, 64, 96, 8)
    with torch.no_grad():
        logits, evidence = way(network, image)
        torch.testing.assert_close(logits, network(image), rtol=1e-4, atol=1e-5)
    assert evidence.shape == (2, 1, 64, 96, 8) and torch.isfinite(evidence).all()
    assert not logits.requires_grad and not evidence.requires_grad


def test_the_mean_of_the_map_is_the_difference_of_the_logits(network) -> None:
    """Exact on the network's own grid; the enlarged map keeps it but for the border's share."""
    image = torch.randn(1, 2, 192, 192, 16)
    with torch.no_grad():
        logits, maps = network.activation_map(image)
        _, evidence = activation_map(network, image)
    difference = logits[0, 1] - logits[0, 0]
    cells = maps[0, 1] - maps[0, 0]
    torch.testing.assert_close(cells.mean(), difference, rtol=1e-4, atol=1e-5)
    assert abs(evidence.mean() - difference) < 0.3 * cells.std()


def test_the_peak_is_the_probability() -> None:
    logits = torch.tensor([[0.0, 2.0], [1.0, -1.0], [0.0, 0.0]])
    evidence = torch.randn(3, 1, 16, 12, 4)
    evidence[2] = -evidence[2].abs()  # nothing speaks for malignancy
    found = heat(logits, evidence)
    peaks = found.amax(dim=(1, 2, 3, 4))
    # 1 / (1 + exp(−2)), 1 / (1 + exp(2))
    np.testing.assert_allclose(peaks[:2], [0.880797, 0.119203], atol=1e-5)
    assert peaks[2] == 0 and found.min() == 0
    assert torch.equal(found[0].argmax(), evidence[0].argmax())


@pytest.mark.parametrize("kind", ["evidence", "activation"])
@pytest.mark.parametrize("lead", [(2,), (1, 2)], ids=["breasts", "an exam of two breasts"])
def test_inferer_answers_for_each_breast_alone(network, lead, kind) -> None:
    image = torch.randn(*lead, 2, 64, 64, 8)
    answer = HeatMapInferer(kind, body_channel=None)(image, network)
    assert answer["logits"].shape == (*lead, 2) and answer["heatmap"].shape == (*lead, 64, 64, 8)
    second = HeatMapInferer(kind, body_channel=None)(image.flatten(0, -5)[1:], network)
    torch.testing.assert_close(answer["heatmap"].reshape(2, 64, 64, 8)[1], second["heatmap"][0])
    peaks = answer["heatmap"].flatten(-3).amax(-1)
    torch.testing.assert_close(peaks, answer["logits"].softmax(-1)[..., 1])


def test_logits_alone(network) -> None:
    image = torch.randn(1, 2, 2, 64, 64, 8)
    answer = HeatMapInferer("without")(image, network)
    assert list(answer) == ["logits"]
    torch.testing.assert_close(answer["logits"], HeatMapInferer(body_channel=None)(image, network)["logits"])


def test_an_unknown_map_is_refused() -> None:
    with pytest.raises(InputError, match="choose evidence, activation or without"):
        HeatMapInferer("cam")


def test_air_stays_cold(network) -> None:
    """A body fills the lower half of the image; noise around it is air."""
    image = 0.02 * torch.rand(1, 2, 64, 64, 8)
    image[:, :, :, :32] += 1 + 0.2 * torch.rand(1, 2, 64, 32, 8)
    found = HeatMapInferer()(image, network)["heatmap"][0]
    assert found[:, 36:].max() == 0 and found[:, :28].max() > 0
