"""The mammogram network against a plain forward pass over torchvision's names, and its grey first layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import InputError
from pipeline.networks.imagenet_resnet import build_resnet
from pipeline.networks.mammogram_resnet import mammogram_resnet, risk_score


def reference(weights: dict[str, torch.Tensor], image: torch.Tensor, blocks: tuple[int, ...]) -> torch.Tensor:
    """He et al. 2015 with bottlenecks, the stride on the 3×3 convolution, in evaluation mode."""

    def conv_norm(x: torch.Tensor, conv: str, norm: str, stride: int, padding: int) -> torch.Tensor:
        x = F.conv2d(x, weights[f"{conv}.weight"], stride=stride, padding=padding)
        return F.batch_norm(x, *(weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight",
                                                                        "bias")))

    x = F.max_pool2d(F.relu(conv_norm(image, "conv1", "bn1", 2, 3)), 3, 2, 1)
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = F.relu(conv_norm(x, f"{name}.conv1", f"{name}.bn1", 1, 0))
            y = F.relu(conv_norm(y, f"{name}.conv2", f"{name}.bn2", stride, 1))
            y = conv_norm(y, f"{name}.conv3", f"{name}.bn3", 1, 0)
            if block == 0:
                x = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride, 0)
            x = F.relu(x + y)
    return F.linear(x.mean(dim=(2, 3)), weights["fc.weight"], weights["fc.bias"])


@pytest.mark.parametrize("channels, count", [(1, 42_497_986), (3, 42_504_258)])
def test_parameters_are_the_papers(channels, count) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in mammogram_resnet(channels=channels).parameters()) == count


def test_equals_the_reference() -> None:
    network = mammogram_resnet(50).eval()
    image = torch.randn(2, 1, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(network.state_dict(), image, (3, 4, 6, 3)),
                                   rtol=1e-3, atol=1e-3)


def test_grey_stem_answers_as_the_colour_stem_to_grey(tmp_path) -> None:
    torch.manual_seed(0)
    imagenet = build_resnet(18, 3, 1000)
    torch.save(imagenet.state_dict(), tmp_path / "weights.pth")
    grey, colour = (mammogram_resnet(18, channels, tmp_path / "weights.pth").eval() for channels in (1, 3))
    for network in (grey, colour):
        assert torch.equal(network.layer4[1].conv2.weight, imagenet.layer4[1].conv2.weight)
        assert network.fc.weight.shape == (2, 512)
        network.fc = torch.nn.Identity()
    image = torch.randn(2, 1, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(grey(image), colour(image.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_settings_that_are_refused(tmp_path) -> None:
    for settings, words in (({"layers": 19}, "layers is 19; choose 18, 34, 50, 101"),
                            ({"channels": 2}, "channels is 2; a mammogram has 1"),
                            ({"layers": 18, "weights": tmp_path / "no.pth"}, "no.pth: no such file; copy .*resnet18")):
        with pytest.raises(InputError, match=words):
            mammogram_resnet(**settings)


def test_risk_is_positive_less_negative() -> None:
    assert risk_score(torch.tensor([[1.0, 3.0], [2.0, -1.0]])).tolist() == [2.0, -3.0]


def test_a_few_images_can_be_learned_by_heart() -> None:
    torch.manual_seed(0)
    network = mammogram_resnet(layers=18, widen=0.25)
    images, labels = torch.randn(8, 1, 64, 64), torch.tensor([0, 1] * 4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        assert F.cross_entropy(network.eval()(images), labels) < 0.1
        assert ((risk_score(network(images)) > 0).long() == labels).all()
