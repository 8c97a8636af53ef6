"""Kinetic channels, by hand."""

from __future__ import annotations

import pytest
import torch

from transforms import InputError, KineticChannels, KineticChannelsd

CHANNELS = ["pre", "post1", "post2", "t2"]


def image(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 2, 2, 2).contiguous()


def found(channels: list[str], *values: float, **options) -> list[float]:
    return KineticChannels(channels, **options)(image(*values))[:, 0, 0, 0].tolist()


def test_baseline_wash_in_delayed_change_and_the_rest() -> None:
    # 0.2 · 1; 3 · (1.5 − 1); 8 · (1.25 − 1.5); 0.2 · 2
    assert found(CHANNELS, 1.0, 1.5, 1.25, 2.0) == pytest.approx([0.2, 1.5, -2.0, 0.4])
    assert found(CHANNELS, 1.0, 9.0, 1.0, 2.0, gains=(1, 1, 1, 1), limit=5) == [1, 5, -5, 2]  # clipped


def test_without_what_a_difference_needs_contrasts_stay() -> None:
    assert found(["post1", "post2"], 1.0, 1.5) == pytest.approx([0.2, 4.0])  # no pre: post1 by the last gain
    assert found(["pre", "post2"], 1.0, 1.5) == pytest.approx([0.2, 0.3])  # no post1


def test_order_of_channels_and_leading_axes_do_not_matter_and_the_input_stays() -> None:
    given = image(2.0, 1.25, 1.0, 1.5)[None]
    result = KineticChannels(["t2", "post2", "pre", "post1"])(given)
    assert result[0, :, 0, 0, 0].tolist() == pytest.approx([0.4, -2.0, 0.2, 1.5])
    assert given[0, :, 0, 0, 0].tolist() == [2.0, 1.25, 1.0, 1.5]


def test_settings_and_images_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="four numbers"):
        KineticChannels(CHANNELS, gains=(1, 2))
    with pytest.raises(InputError, match="the image has 3 channels, 4 expected: pre, post1, post2, t2"):
        KineticChannels(CHANNELS)(image(1, 2, 3))
    both = KineticChannelsd(["a", "b"], CHANNELS)({"a": image(1, 2, 3, 4), "b": image(1, 2, 3, 4), "c": 1})
    assert torch.equal(both["a"], both["b"]) and both["c"] == 1
