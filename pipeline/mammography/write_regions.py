"""Write the centres of attention that a holistic model finds, and pictures of some for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events

from pipeline.evaluations import EvaluationWriter
from pipeline.explain.stacks import save_stack
from pipeline.files.atomic import write_arrays
from pipeline.mammography.regions import image_key, known, native_centers, save, stack_names
from pipeline.mammography.screening import found_by_screening, probability
from transforms.mammography.scale import region_around

_EVERY = 500  # batches between two writings: saliency of a screening cohort takes hours
_SIDE = 240  # pixels of a picture's side
_SHARE = 0.001  # of a picture's pixels, as hot as can be: single pixels would leave all others dark


class WriteRegions(EvaluationWriter):
    """Adds each image's centre of attention and holistic score to a file of `pipeline.mammography.regions`.

    The evaluator's prediction is that of `pipeline.explain.saliency.SaliencyInferer`.

    Args:
        path: the file.
        about: the model and its input, of `pipeline.mammography.regions.identity`.
        region: pixels of the region's side, for pictures.
        shown: test images with and without cancer of which a picture is written beside the file, under `maps/`.
        stacks: keep the picture of every test image, `stacks/*.npz`, for the page with every exam.
    """

    def __init__(self, path: Path | str, about: Mapping[str, Any], region: int, shown: int = 6,
                 stacks: bool = False) -> None:
        super().__init__(Path(path).parent)
        self.path = Path(path)
        self.about = dict(about)
        self.region, self.shown = int(region), int(shown)
        self.stacks = bool(stacks)
        self.images: dict[str, Any] = {}
        self.left = [0, 0]  # pictures still to be written, without and with cancer

    def attach(self, engine: Engine) -> None:
        super().attach(engine)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=_EVERY), self.write)

    def start(self, engine: Engine) -> None:
        self.images = known(self.path, self.about)
        self.left = [self.shown, self.shown]

    def collect(self, engine: Engine) -> None:
        """Take one batch."""
        batch: Any = engine.state.batch
        pred = engine.state.output["pred"]
        centers = native_centers(pred["maps"], batch["corner"], [frame[:2] for frame in batch["frame"]],
                                 self.about["width"])
        for i, (center, score) in enumerate(zip(centers, pred["scores"].cpu().tolist(), strict=True)):
            case = {key: batch[key][i] for key in ("exam_id", "image_id", "sha256")}
            self.images[image_key(case)] = {"center": [round(at, 2) for at in center], "score": round(score, 6),
                                            "array": case["sha256"]}
            label = int(found_by_screening({key: batch[key][i] for key in ("malignant", "detection")}))
            chosen = batch["split"][i] == "test" and self.left[label] > 0
            if chosen or (self.stacks and batch["split"][i] == "test"):
                self.left[label] -= chosen
                picture = self._picture({key: batch[key][i] for key in batch}, pred["maps"][i], center, label, score)
                self._save(picture, chosen)

    def _save(self, picture: dict[str, Any], chosen: bool) -> None:
        """For the report's gallery and, where asked, for the page with every exam."""
        exam_id, image_id = picture["exam_id"], picture["side"]
        if chosen:
            write_arrays(self.folder / "maps" / f"{exam_id}_{image_id}.npz", **picture)
        if self.stacks:
            points = [(*at, 0) for at in picture["points"]]
            save_stack(self.folder, stack_names({"exam_id": exam_id, "image_id": image_id}),
                       picture["image"][None], picture["heat"][None], points, picture["point_malignant"])

    def _picture(self, case: Mapping[str, Any], saliency: torch.Tensor, center: Sequence[float], label: int,
                 score: float) -> dict[str, Any]:
        """One picture: what the model saw, its saliency, the region, and findings' centres."""
        image = F.adaptive_avg_pool2d(case["image"].float()[None], min(_SIDE, case["image"].shape[-1]))[0, 0].cpu()
        side = image.shape[-1]
        heat = F.adaptive_avg_pool2d(saliency[None].cpu(), side)
        heat = F.avg_pool2d(F.pad(heat, (2, 2, 2, 2)), 5, 1)[0]
        rows, columns = case["frame"][:2]
        scale = self.about["width"] / columns * side / self.about["size"]  # picture's pixels a native one
        corner = np.asarray(case["corner"], float) * side / self.about["size"]

        def place(row: float, column: float) -> tuple[float, float]:
            return row * scale - corner[0], column * scale - corner[1]

        box = region_around((rows, columns), (center[0], center[1]), self.region)
        marked = [(place((top + bottom) / 2, (left + right) / 2), malignant)
                  for top, left, bottom, right, malignant in case["boxes"]]
        marked = [(at, malignant) for at, malignant in marked if min(at) >= 0 and max(at) < side]
        return {
            "image": _unit(image, 0.0).numpy(), "heat": _unit(heat, _SHARE).numpy(),
            "points": np.array([(c - 0.5, r - 0.5) for (r, c), _ in marked], float).reshape(-1, 2),
            "point_malignant": np.array([bool(m) for _, m in marked]), "label": label, "score": probability(score),
            "variant": "holistic", "box": np.array([*place(box.top, box.left), *place(box.bottom, box.right)]),
            "exam_id": case["exam_id"], "side": case["image_id"]}

    def write(self, engine: Engine) -> None:
        save(self.path, self.about, self.images)


def _unit(values: torch.Tensor, share: float) -> torch.Tensor:
    """From its least to its largest value, or that which a share of the pixels exceeds, to 0–1."""
    low, high = values.min(), values.flatten().quantile(1 - share)
    return ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
