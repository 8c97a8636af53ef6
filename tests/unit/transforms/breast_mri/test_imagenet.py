"""What a network trained on photographs is shown, by hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from transforms import ImageNetInput


def test_input_of_the_network_by_hand() -> None:
    image = torch.tensor([0.0, 1.5, 9.0]).view(3, 1, 1).expand(3, 8, 8)
    found = ImageNetInput(["pre", "sub", "t2"], size=16, top=3.0, sub_range=(-0.5, 1.5))(image)
    # 0 of 0–3; 1.5, the top of sub; 9, cut to the top. ImageNet: (0.485, 0.229), (0.456, 0.224), (0.406, 0.225).
    expected = [(0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    assert found.shape == (3, 16, 16)
    np.testing.assert_allclose(found[:, 3, 5], expected, rtol=1e-6)
    batch = torch.rand(2, 3, 8, 8)
    large = F.interpolate(batch, size=(16, 16), mode="bilinear")
    torch.testing.assert_close(ImageNetInput(["pre"] * 1, size=16, top=1.0)(batch[:, :1]),
                               (large[:, :1] - 0.485) / 0.229)
