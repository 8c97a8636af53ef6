"""The picture in TensorBoard, read back from its file."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipeline.training.image_panel import ImagePanel


def test_a_row_of_breasts_anterior_up_with_label_and_score_beside_it(tmp_path) -> None:
    image = torch.zeros(2, 2, 6, 4, 3)  # two breasts of 6 × 4 voxels
    image[0, 1, 5, 0, 1] = 8.0  # outermost, most posterior
    image[1, 1, 0, 3, 2] = 0.5  # by the midline, most anterior; each picture has its own scale
    image[:, 0] = 100.0  # a channel that is not shown
    output = {"image": image, "label": torch.tensor([1, 0]), "pred": torch.tensor([[0.0, 1.0], [2.0, 0.0]])}
    panel = ImagePanel(tmp_path, shown=1, every=2)
    for epoch in (1, 2):
        engine: Any = SimpleNamespace(state=SimpleNamespace(epoch=epoch, output=output))
        panel(engine)
    panel.flush(engine)
    events = EventAccumulator(str(tmp_path)).Reload()
    (shown,) = events.Images("validation/enhancement")  # every second epoch
    picture = np.asarray(Image.open(io.BytesIO(shown.encoded_image_string)).convert("L"))
    expected = np.zeros((4, 12), np.uint8)
    expected[3, 5] = expected[0, 6] = 255
    np.testing.assert_array_equal(picture, expected)
    assert shown.step == 2
    (text,) = events.Tensors("validation/enhancement/text_summary")
    words = text.tensor_proto.string_val[0].decode()
    assert words == "picture 1: label 1, score 0.73  \npicture 2: label 0, score 0.12"
