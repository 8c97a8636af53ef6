"""Write the centres of attention that a holistic model finds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from pipeline.regions import image_key, known, native_centers, save

_EVERY = 500  # batches between two writings: saliency of a screening cohort takes hours


class WriteRegions:
    """Adds each image's centre of attention and holistic score to a file of regions; see `pipeline.regions`.

    The evaluator's prediction is that of `pipeline.regions.SaliencyInferer`.

    Args:
        path: the file.
        about: the model and its input, of `pipeline.regions.identity`.
    """

    def __init__(self, path: Path | str, about: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.about = dict(about)
        self.images: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=_EVERY), self.write)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        self.images = known(self.path, self.about)

    def collect(self, engine: Engine) -> None:
        """Take one batch."""
        batch, pred = engine.state.batch, engine.state.output["pred"]
        centers = native_centers(pred["maps"], batch["corner"], [frame[:2] for frame in batch["frame"]],
                                 self.about["width"])
        for i, (center, score) in enumerate(zip(centers, pred["scores"].cpu().tolist(), strict=True)):
            case = {"exam_id": batch["exam_id"][i], "image_id": batch["image_id"][i]}
            self.images[image_key(case)] = {"center": [round(at, 2) for at in center], "score": round(score, 6)}

    def write(self, engine: Engine) -> None:
        save(self.path, self.about, self.images)
