"""ResNet34 against a plain forward pass over weights in torchvision's naming, and how weights are refused."""

from __future__ import annotations

import hashlib

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import InputError
from pipeline.networks.imagenet_resnet import transfer_resnet34

BLOCKS = (3, 4, 6, 3)


def reference(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """He et al. 2015, 34 layers, in evaluation mode."""

    def conv_norm(x: torch.Tensor, conv: str, norm: str, stride: int, padding: int) -> torch.Tensor:
        x = F.conv2d(x, weights[f"{conv}.weight"], stride=stride, padding=padding)
        return F.batch_norm(x, *(weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight",
                                                                        "bias")))

    x = F.max_pool2d(F.relu(conv_norm(image, "conv1", "bn1", 2, 3)), 3, 2, 1)
    for layer, blocks in enumerate(BLOCKS, start=1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            y = F.relu(conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride, 1))
            y = conv_norm(y, f"{name}.conv2", f"{name}.bn2", 1, 1)
            if f"{name}.downsample.0.weight" in weights:
                x = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride, 0)
            x = F.relu(x + y)
    return F.linear(x.mean(dim=(2, 3)), weights["fc.weight"], weights["fc.bias"])


@pytest.fixture(scope="module")
def imagenet() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    weights = transfer_resnet34(3, 1000).state_dict()
    for name, tensor in weights.items():
        if "running_mean" in name:
            tensor.normal_(std=0.1)
        elif "running_var" in name:
            tensor.uniform_(0.5, 1.5)
    return weights


def test_equals_the_reference(imagenet) -> None:
    network = transfer_resnet34(3, 1000).eval()
    network.load_state_dict(imagenet)
    image = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(network(image), reference(imagenet, image), rtol=1e-3, atol=1e-4)


def test_parameters_are_the_papers() -> None:
    assert sum(p.numel() for p in transfer_resnet34().parameters()) == 21_285_698


@pytest.mark.parametrize("channels", [3, 2])
def test_weights_from_a_file(imagenet, tmp_path, channels) -> None:
    old = {name: tensor for name, tensor in imagenet.items() if "num_batches" not in name}  # as older files are
    digest = _save(old, tmp_path / "plain.pth")
    path = (tmp_path / "plain.pth").rename(tmp_path / f"resnet34-{digest[:8]}.pth")
    own = transfer_resnet34(channels, 2, path).state_dict()
    assert own["fc.weight"].shape == (2, 512)
    same = [name for name in old if name in own and torch.equal(own[name], old[name])]
    assert len(same) == len(old) - (2 if channels == 3 else 3)  # without fc, and without conv1 for two channels


def _save(weights: dict[str, torch.Tensor], path) -> str:
    torch.save(weights, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_weights_that_are_refused(imagenet, tmp_path, monkeypatch) -> None:
    with pytest.raises(InputError, match="no such file; copy torchvision's resnet34"):
        transfer_resnet34(weights=tmp_path / "absent.pth")
    _save(imagenet, tmp_path / "resnet34-00000000.pth")
    with pytest.raises(InputError, match="not the file that its name says"):
        transfer_resnet34(weights=tmp_path / "resnet34-00000000.pth")
    other = {**imagenet, "conv1.weight": imagenet["conv1.weight"][:, :2]}
    _save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"checkpoint of another network: conv1.weight is \(64, 2, 7, 7\)"):
        transfer_resnet34(weights=tmp_path / "other.pth")

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=r"cannot be fetched \(no route to host\); copy https"):
        transfer_resnet34(weights="resnet34")
