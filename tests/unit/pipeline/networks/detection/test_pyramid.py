"""The pyramid's shapes, and its numbers against a plain forward pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline.networks.detection.pyramid import Pyramid


def reference(state: dict[str, torch.Tensor], image: torch.Tensor, full: bool) -> dict[str, torch.Tensor]:
    """All levels of `(B, C, Z, Y, X)`, read off the figure of the published network line by line."""

    def conv(x, name, stride=1, padding=0):
        return F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride, padding)

    def block(x, name, stride=1):
        y = F.leaky_relu(F.instance_norm(conv(x, f"{name}.conv1", stride, 1)), 0.01)
        y = F.instance_norm(conv(y, f"{name}.conv2", 1, 1))
        if f"{name}.shortcut.0.weight" in state:
            x = F.instance_norm(conv(x, f"{name}.shortcut.0", stride))
        return F.leaky_relu(x + y, 0.01)

    def larger(x, factors):
        for axis, factor in zip((2, 3, 4), factors, strict=True):
            x = x.repeat_interleave(factor, dim=axis)
        return x

    seen = {}
    x = image
    if full:
        for layer in (0, 3):
            x = F.leaky_relu(F.instance_norm(conv(x, f"backbone.C0.{layer}", 1, 1)), 0.01)
        seen["P0"] = x
    x = seen["P1"] = F.leaky_relu(F.instance_norm(conv(x, "backbone.C1.0", (1, 2, 2), 3)), 0.01)
    x = F.max_pool3d(x, 3, (1, 2, 2), 1)
    x = seen["P2"] = block(block(x, "backbone.C2.1"), "backbone.C2.2")
    for number in (3, 4, 5):
        x = seen[f"P{number}"] = block(block(x, f"backbone.C{number}.0", 2), f"backbone.C{number}.1")
    level, before = None, {}
    for name in ("P5", "P4", "P3", "P2"):
        own = conv(seen[name], f"lateral.{name}")
        level = before[name] = own if level is None else own + larger(level, (2, 2, 2))
    for name in ("P1", "P0") if full else ():
        finer = F.interpolate(level, size=seen[name].shape[2:], mode="trilinear", align_corners=False)
        level = before[name] = conv(seen[name], f"lateral.{name}") + finer
    return {name: conv(x, f"smooth.{name}", 1, 1) for name, x in before.items() if name != "P1"}


@pytest.mark.parametrize("full", [False, True])
def test_levels_equal_a_plain_forward_pass(full) -> None:
    torch.manual_seed(0)
    network = Pyramid(2, (3, 3, 4, 5, 6), 4, full).double()
    image = torch.randn(1, 2, 16, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        levels, expected = network(image, full), reference(network.state_dict(), image, full)
    shapes = {"P2": (16, 16, 24), "P3": (8, 8, 12), "P4": (4, 4, 6), "P5": (2, 2, 3), "P0": (16, 64, 96)}
    assert {name: tuple(x.shape[2:]) for name, x in levels.items()} == {k: v for k, v in shapes.items()
                                                                      if full or k != "P0"}
    for name, level in levels.items():
        torch.testing.assert_close(level, expected[name], rtol=1e-9, atol=1e-9)


def test_full_resolution_only_where_asked_for() -> None:
    network = Pyramid(1, (2, 2, 2, 2, 2), 2, full=True)
    image = torch.randn(1, 1, 8, 64, 64)
    with torch.no_grad():
        assert set(network(image)) == {"P2", "P3", "P4", "P5"}
        assert torch.equal(network(image)["P2"], network(image, full=True)["P2"])
