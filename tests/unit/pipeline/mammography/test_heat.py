"""A view's map lies where its salient pixels are, in the file's pixels."""

from __future__ import annotations

import torch

from pipeline.mammography.heat import view_map


def test_the_peak_is_where_salient_pixels_are_dense_and_nothing_is_beyond_the_input() -> None:
    """A picture of 240 × 160 scaled to 80 columns, 120 rows, of which 20 to 99 were seen: 80 × 80."""
    saliency = torch.rand(80, 80) * 0.1
    saliency[29:32, 49:52] = 1.0  # 9 of the 64 most salient; middle: row 50, column 50 of the scaled picture
    found = view_map(saliency, (20, 0), (240, 160), 80, 0.7)
    assert tuple(found.shape) == (240, 160)
    assert 0.6 < float(found.max()) <= 0.7  # the middle of a pixel lies between four of the file's
    row, column = divmod(int(found.argmax()), 160)
    assert abs(row - 100.5) <= 2 and abs(column - 100.5) <= 2  # twice as fine
    assert float(found[:39].max()) == 0 and float(found[201:].max()) == 0 and float(found.min()) >= 0


def test_an_input_wider_than_the_picture() -> None:
    saliency = torch.zeros(60, 60)
    saliency[30, 20] = 1.0  # the picture, 40 × 40, lies from 10 to 49 of the input
    found = view_map(saliency, (-10, -10), (40, 40), 40, 1.0)
    assert divmod(int(found.argmax()), 40) == (20, 10)
