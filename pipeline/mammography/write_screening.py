"""Write an evaluation's predictions of screening examinations, and whether regions hold the lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine

from pipeline.evaluations import EvaluationWriter
from pipeline.files.atomic import write_table
from pipeline.mammography.regions import breast_points, holds
from pipeline.mammography.screening import ensemble, exam_probability, exam_row, exam_score, found_by_screening
from pipeline.networks.mammogram_resnet import risk_score
from transforms.read_prepared import open_prepared

VARIANTS = ("holistic", "attention", "ensemble")


class WriteScreening(EvaluationWriter):
    """Writes `predictions.csv`, a row an examination and variant, `images.csv` and `regions.csv` (§3.3, §3.4, §4.3).

    `regions.csv` says, for every test image of a screen-detected cancer whose box is known, whether the region holds
    the box's centre (`hit`), and how often one around a random pixel of the breast would (`chance`). Tables hold study
    ids only.

    The evaluator's prediction is the attention network's logits `(B, 2)`; batches hold the `holistic` score and the
    `center` of each image's region.

    Args:
        output_dir: where the files go.
        fold: the fold, for the tables.
        region: pixels of the region's side.
    """

    def __init__(self, output_dir: Path | str, fold: int, region: int) -> None:
        super().__init__(output_dir)
        self.fold = int(fold)
        self.region = int(region)
        self.images: list[dict[str, Any]] = []
        self.exams: dict[str, dict[str, Any]] = {}
        self.regions: list[dict[str, Any]] = []

    def start(self, engine: Engine) -> None:
        self.images, self.exams, self.regions = [], {}, []

    def collect(self, engine: Engine) -> None:
        """Take one batch of images."""
        batch: Any = engine.state.batch
        scores = risk_score(engine.state.output["pred"].detach().float()).cpu().tolist()
        for i, attention in enumerate(scores):
            case = {key: batch[key][i] for key in batch if key not in ("image", "label")}
            holistic = float(case["holistic"])
            row = {key: case[key] for key in ("exam_id", "patient_id", "side", "view", "image_id", "split")}
            self.images.append({**row, "fold": self.fold, "holistic": holistic, "attention": round(attention, 6),
                                "ensemble": round(ensemble(holistic, attention), 6)})
            self.exams[case["exam_id"]] = exam_row({**case, "label": batch["label"][i]}, self.fold)
            if case["split"] == "test" and found_by_screening(case):
                self._compare(case)

    def _compare(self, case: dict[str, Any]) -> None:
        """One row of `regions.csv`, where a malignant box is known."""
        targets = [[(top + bottom - 1) / 2, (left + right - 1) / 2]
                   for top, left, bottom, right, malignant in case["boxes"] if malignant]
        if not targets:
            return
        shape, wanted = case["frame"][:2], np.asarray(targets)
        anywhere = breast_points(np.asarray(open_prepared(case["array"])[0, 0]), case["frame"])
        self.regions.append({
            "exam_id": case["exam_id"], "patient_id": case["patient_id"], "side": case["side"],
            "image_id": case["image_id"], "fold": self.fold,
            "hit": int(holds(np.asarray([case["center"]]), shape, self.region, wanted)[0]),
            "chance": round(float(holds(anywhere, shape, self.region, wanted).mean()), 4)})

    def write(self, engine: Engine) -> None:
        of: dict[str, list[dict[str, Any]]] = {}
        for image in self.images:
            of.setdefault(image["exam_id"], []).append(image)
        rows = [{"variant": variant, **exam, "images": len(of[name]), "score": exam_probability(
                    exam_score([(i["side"], i["view"], i[variant]) for i in of[name]])[0])}
                for variant in VARIANTS for name, exam in self.exams.items()]
        write_table(self.folder / "predictions.csv", rows)
        write_table(self.folder / "images.csv", self.images)
        if self.regions:
            write_table(self.folder / "regions.csv", self.regions)
        else:  # none of an earlier evaluation stays beside these
            (self.folder / "regions.csv").unlink(missing_ok=True)
        print(f"{len(self.exams)} examinations in {self.folder / 'predictions.csv'}", flush=True)
