"""A look at what the network is shown, in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events


class ImagePanel:
    """Writes the last validation batch as one row of pictures: the maximum of one channel over the slices.

    The tag carries nothing of the patient; label and score of each picture stand in the text beside it.

    Args:
        log_dir: TensorBoard's folder.
        shown: the channel, e.g. that of the wash-in.
        every: epochs between pictures.
    """

    def __init__(self, log_dir: Path | str, shown: int = 0, every: int = 1) -> None:
        self.log_dir = str(log_dir)
        self.shown = int(shown)
        self.every = int(every)
        self.writer: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.flush)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch % self.every:
            return
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(self.log_dir)
        image = engine.state.output["image"].detach().float().cpu()  # (B, C, X, Y, Z)
        shown = image[:, min(self.shown, image.shape[1] - 1)]
        picture = shown.amax(dim=-1).transpose(1, 2).flip(1)  # (B, Y, X), anterior up
        top = picture.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        row = (picture.clamp(min=0) / top).unbind(0)
        self.writer.add_image("validation/enhancement", torch.cat(row, dim=1)[None], engine.state.epoch)
        score = engine.state.output["pred"].detach().float().softmax(1)[:, 1].tolist()
        label = engine.state.output["label"].tolist()
        pairs = enumerate(zip(label, score, strict=True), start=1)
        text = "  \n".join(f"picture {i}: label {y}, score {s:.2f}" for i, (y, s) in pairs)
        self.writer.add_text("validation/enhancement", text, engine.state.epoch)

    def flush(self, engine: Engine) -> None:
        if self.writer is not None:
            self.writer.flush()
